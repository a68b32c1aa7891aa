// Requests to the service. Every failure is a ServiceError whose message is a sentence.

const RETRIES = 6;

let apiKey = "";
let askForKey = async () => "";

export class ServiceError extends Error {}

/** Sets the function that asks the user for an API key; it returns "" if there is none. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/**
 * Loaded models: [{name, source, labels, image_size, threshold, top1, engine, precision}].
 * While they are loading, the service is asked again and again, and `onLoading` is called each time.
 */
export async function listModels(onLoading) {
  const response = await request("/models", {}, onLoading);
  return (await response.json()).models;
}

/** Labels of one image: {prediction, milliseconds}, with the time that the service took, or null. */
export async function predict(model, file) {
  const address = `/predictions/${encodeURIComponent(model)}?top_k=5`;
  const response = await request(address, { method: "POST", body: file, headers: imageType(file) });
  const time = /dur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
  return { prediction: await response.json(), milliseconds: time ? Number(time[1]) : null };
}

/** Map of one class, by its index, over one image: see /docs. */
export async function explain(model, file, index) {
  const address = `/explanations/${encodeURIComponent(model)}?class_index=${index}`;
  const response = await request(address, { method: "POST", body: file, headers: imageType(file) });
  return response.json();
}

function imageType(file) {
  return { "Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream" };
}

async function request(address, options = {}, onLoading = null) {
  for (let attempt = 0; ; attempt++) {
    const response = await send(address, options);
    if (response.ok) return response;
    if (response.status === 401 && attempt < RETRIES) {
      const key = await askForKey();
      if (key) {
        apiKey = key;
        continue;
      }
    }
    if (response.status === 503 && onLoading) {
      onLoading();
      attempt = -1; // large models take more than a few attempts
    }
    if ((response.status === 429 || response.status === 503) && attempt < RETRIES) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
      continue;
    }
    throw new ServiceError(sentence(await reason(response)));
  }
}

async function send(address, options) {
  const headers = { ...options.headers, ...(apiKey && { Authorization: `Bearer ${apiKey}` }) };
  try {
    return await fetch(address, { ...options, headers });
  } catch {
    throw new ServiceError("The service does not respond. Is levit serve still running?");
  }
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the service responded with ${response.status} ${response.statusText}`;
  }
}

/** Makes a sentence of a reason, without the description of an image that has no name. */
export function sentence(reason) {
  const text = String(reason).replace(/^<?(\d[\d,.]* )?(bytes|an image in memory)[^:]*>?: /, "").trim();
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
