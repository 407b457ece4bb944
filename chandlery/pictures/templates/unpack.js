// Numbers from short texts: the other half of packed.py.
const inflate = async (text) => {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

const wholeNumbers = async (text) => {
  const bytes = await inflate(text), count = bytes.length / 4, out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const value = (bytes[i] | (bytes[count + i] << 8) | (bytes[2 * count + i] << 16) | (bytes[3 * count + i] << 24)) >>> 0;
    out[i] = value & 1 ? -(value >>> 1) - 1 : value >>> 1;
  }
  return out;
};

const doubles = async (text) => {
  const bytes = await inflate(text), count = bytes.length / 8, out = new DataView(new ArrayBuffer(bytes.length));
  for (let i = 0; i < count; i++) for (let k = 0; k < 8; k++) out.setUint8(8 * i + k, bytes[k * count + i]);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = out.getFloat64(8 * i, true);
  return values;
};

const unpack = async (packed) => {
  if (packed.as === "doubles") return doubles(packed.text);
  const values = await wholeNumbers(packed.text), scale = 10 ** (packed.decimals || 0);
  if (packed.as === "steps") {
    let sum = packed.first;
    for (let i = 0; i < values.length; i++) values[i] = sum += values[i];
  }
  if (scale !== 1) for (let i = 0; i < values.length; i++) values[i] /= scale;
  const edges = packed.missing || [];
  for (let i = 0; i < edges.length; i += 2) values.fill(NaN, edges[i], edges[i + 1]);
  return values;
};

const unpackPrices = async (packed) => {
  const names = ["open", "high", "low", "close"];
  if (packed.as === "columns") {
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await unpack(packed[name])])));
  }
  const [open, high, low, close] = await Promise.all(names.map((name) => wholeNumbers(packed[name])));
  const scale = 10 ** packed.decimals;
  for (let i = 0, before = 0; i < open.length; i++) {
    const first = before + open[i], last = first + close[i];
    open[i] = first / scale;
    close[i] = last / scale;
    high[i] = (Math.max(first, last) + high[i]) / scale;
    low[i] = (Math.min(first, last) - low[i]) / scale;
    before = last;
  }
  return { open, high, low, close };
};

