/** What a text from outside says; undefined where it isn't JSON. JSON.parse quotes the text, so its own error goes no further. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
