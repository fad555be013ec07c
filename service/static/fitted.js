// An image as a model sees it: the square in its middle, as small as the model's images. Owns its drawing and its words.

import { element } from "./element.js";

// What was done to an image before the model saw it, as an answer tells it; nothing where it was taken as it is.
export function fittedWords({ resized_from: size, converted_from: colours }) {
  const cropped = size && size[0] !== size[1] && "cropped to the square in its middle";
  const told = [cropped, size && `resized from ${size.join(" × ")}`, colours && `converted from ${colours}`];
  return told.filter(Boolean).join(", ");
}

// What the model saw of a file, as nearly as a browser draws it.
export async function fitted(file, { image_size: side, in_channels: channels }) {
  const image = await createImageBitmap(file);
  const canvas = element("canvas", { width: side, height: side, role: "img", "aria-label": "The image as the model saw it" });
  const context = canvas.getContext("2d");
  const edge = Math.min(image.width, image.height);
  // Transparent parts show a black ground.
  context.fillRect(0, 0, side, side);
  context.imageSmoothingQuality = "high";
  if (channels === 1) context.filter = "grayscale(1)";
  context.drawImage(image, (image.width - edge) / 2, (image.height - edge) / 2, edge, edge, 0, 0, side, side);
  image.close();
  return canvas;
}
