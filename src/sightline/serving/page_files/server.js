// Calls to the server. A refusal becomes an Error that holds the status.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function modelFacts() {
  return answered(await fetch("/v1/model"));
}

// Ask about files (Blobs); gives {predictions, milliseconds, roundTrip}.
export async function predict(files, { top }) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name ?? "drawing.png");
  const start = performance.now();
  const body = await answered(await fetch(`/v1/predict?seen=1&top=${top}`, { method: "POST", body: form }));
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
