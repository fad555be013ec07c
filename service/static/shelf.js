// The pictures of this browser, kept in its own database. Owns what is stored; where nothing can be, they last as
// long as the page.

const NAME = "tarflow";
const STORE = "pictures";
const MOST_KEPT = 500;

export class Shelf {
  #database = null;
  // Newest first.
  pictures = [];

  async open() {
    try {
      this.#database = await asked(Object.assign(indexedDB.open(NAME, 1), { onupgradeneeded: create }));
      await this.load();
    } catch {
      this.#database = null;
    }
  }

  // Take what is stored, by whichever page.
  async load() {
    if (!this.#database) return;
    const kept = await asked(this.#store("readonly").getAll());
    this.pictures = kept.sort((one, other) => other.made_at - one.made_at);
  }

  async add(pictures) {
    const ids = new Set(pictures.map((picture) => picture.id));
    const all = [...pictures, ...this.pictures.filter((picture) => !ids.has(picture.id))];
    this.pictures = all.slice(0, MOST_KEPT);
    await this.#write((store) => {
      for (const picture of pictures) store.put(picture);
      for (const picture of all.slice(MOST_KEPT)) store.delete(picture.id);
    });
  }

  async remove(picture) {
    this.pictures = this.pictures.filter((each) => each.id !== picture.id);
    await this.#write((store) => store.delete(picture.id));
  }

  async clear() {
    this.pictures = [];
    await this.#write((store) => store.clear());
  }

  async #write(change) {
    if (!this.#database) return;
    const store = this.#store("readwrite");
    change(store);
    await new Promise((resolve) => {
      store.transaction.oncomplete = resolve;
      store.transaction.onabort = resolve;
    });
  }

  #store(mode) {
    return this.#database.transaction(STORE, mode).objectStore(STORE);
  }
}

function create({ target }) {
  target.result.createObjectStore(STORE, { keyPath: "id" });
}

function asked(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
