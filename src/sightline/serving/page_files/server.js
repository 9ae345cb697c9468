// Calls to the server. A refusal becomes an Error that holds the status.

// Relative to this file, so that a proxy may show everything below a path of its own.
const root = new URL("../", import.meta.url);

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function modelFacts() {
  return answered(await fetch(new URL("v1/model", root)));
}

// Ask about files (Blobs); gives {predictions, milliseconds, roundTrip}.
export async function predict(files, { top }) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name ?? "drawing.png");
  const start = performance.now();
  const body = await answered(await fetch(new URL(`v1/predict?seen=1&top=${top}`, root), { method: "POST", body: form }));
  return { ...body, roundTrip: performance.now() - start };
}

async function answered(response) {
  if (response.ok) return response.json();
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail;
  } catch { /* something between here and the server answered */ }
  throw new Refused(response.status, detail);
}
