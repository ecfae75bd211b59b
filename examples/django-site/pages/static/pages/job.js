// Asks for the job's state until it is done. Without scripts the page reloads
// itself instead (see job.html).
"use strict";

const job = document.getElementById("job");

function show(field, value) {
  job.querySelector(`[data-field=${field}]`).textContent = value;
}

async function look() {
  try {
    const answer = await fetch(job.dataset.stateUrl, { cache: "no-store" });
    if (answer.ok) {
      const seen = await answer.json();
      show("state", seen.state);
      if (seen.done) {
        show("result", seen.result ?? "none");
        job.dataset.done = "yes";
        return;
      }
    }
  } catch {
    // The site may be closed for a moment; the next look will tell.
  }
  setTimeout(look, 400);
}

look();
