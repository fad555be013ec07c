// The page, put together. Owns the order in which its parts begin.

import { part } from "./element.js";
import { startGallery } from "./gallery.js";
import { startGenerate } from "./generate.js";
import { startJourney } from "./journey.js";
import { startKeyDoor } from "./key_door.js";
import { startScore } from "./score.js";
import { standing } from "./standing.js";
import { startStrip } from "./strip.js";
import { startSweeps } from "./sweeps.js";
import { startViews } from "./views.js";

startKeyDoor();
startGenerate();
startSweeps();
startScore();
startJourney();
startGallery();
startViews();
startStrip(part("foot"), part("strip"), part("banner"));
standing.start();

// A file that is dropped beside its place must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
