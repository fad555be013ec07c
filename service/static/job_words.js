// What a job says of its waiting. Owns the words; knows nothing of what the job makes.

// An event of `run` in words; null where it says nothing of waiting.
export function jobWords(event, data) {
  if (event === "refused") return `${data.problem.title}. Trying again in ${data.seconds} s.`;
  if (event === "accepted") return "Accepted";
  if (event === "status" && data.state === "queued") return queueWords(data);
  return null;
}

function queueWords({ position, eta_s }) {
  const place = position ? `${position} ${position === 1 ? "job is" : "jobs are"} ahead` : "Next in the queue";
  return eta_s ? `${place}, about ${eta_s} s` : place;
}
