// Whether a PNG says that this service made it. Owns the search for its text chunk; knows nothing of what that says.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const NAME = "tarflow";
const TEXTS = ["tEXt", "zTXt", "iTXt"];
// A chunk is its length, its kind, its content and four bytes to check it by.
const [FRAME, CHECK] = [8, 4];

// Whether a file begins as every PNG does, and whether it has a text chunk of ours.
export async function originOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const isPng = SIGNATURE.every((value, place) => bytes[place] === value);
  return { isPng, isOurs: isPng && hasChunk(bytes) };
}

function hasChunk(bytes) {
  const [view, text] = [new DataView(bytes.buffer), (from, to) => String.fromCharCode(...bytes.subarray(from, to))];
  for (let at = SIGNATURE.length; at + FRAME <= bytes.length; at += FRAME + view.getUint32(at) + CHECK) {
    const begin = at + FRAME;
    if (TEXTS.includes(text(at + 4, begin)) && text(begin, begin + NAME.length + 1) === `${NAME}\0`) return true;
  }
  return false;
}
