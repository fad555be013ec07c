// The pictures of this browser, kept in its own database. Owns what is stored; where nothing can be, they last as
// long as the page.

const NAME = "tarflow";
const STORE = "pictures";
export const MOST_KEPT = 500;

export class Shelf {
  #database = null;
  #turn = Promise.resolve();
  // Newest first.
  pictures = [];

  // Whether they outlive the page.
  get keeps() {
    return this.#database !== null;
  }

  open() {
    return this.#inTurn(async () => {
      this.#database = await asked(Object.assign(indexedDB.open(NAME, 1), { onupgradeneeded: create }));
      await this.#read();
    });
  }

  // Take what is stored, by whichever page.
  load() {
    return this.#inTurn(() => this.#read());
  }

  add(pictures) {
    return this.#inTurn(async () => {
      const ids = new Set(pictures.map((picture) => picture.id));
      const all = [...pictures, ...this.pictures.filter((picture) => !ids.has(picture.id))];
      this.pictures = all.slice(0, MOST_KEPT);
      await this.#write((store) => {
        for (const picture of pictures) store.put(picture);
        for (const picture of all.slice(MOST_KEPT)) store.delete(picture.id);
      });
      await this.#read();
    });
  }

  remove(picture) {
    return this.#inTurn(() => {
      this.pictures = this.pictures.filter((each) => each.id !== picture.id);
      return this.#write((store) => store.delete(picture.id));
    });
  }

  clear() {
    return this.#inTurn(() => {
      this.pictures = [];
      return this.#write((store) => store.clear());
    });
  }

  // Do one thing after another. What a browser does not store, or no longer, goes on in memory.
  #inTurn(work) {
    this.#turn = this.#turn.then(work).catch(() => {
      this.#database = null;
    });
    return this.#turn;
  }

  async #read() {
    if (!this.#database) return;
    const kept = await asked(this.#store("readonly").getAll());
    this.pictures = kept.sort((one, other) => other.made_at - one.made_at).slice(0, MOST_KEPT);
  }

  async #write(change) {
    if (!this.#database) return;
    const store = this.#store("readwrite");
    change(store);
    await new Promise((resolve, reject) => {
      store.transaction.oncomplete = resolve;
      store.transaction.onabort = () => reject(store.transaction.error);
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
