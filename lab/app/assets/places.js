// The places of a slider, from 0 to count, and the values that they stand for.
const STEPS_PER_DECADE = 40, LINEAR_STEPS = 200

const places = (item) => {
  const {low, high, whole, log} = item
  if (whole && !log) return {count: high - low, at: (p) => low + p, of: (v) => v - low}
  const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high]
  const count = log ? Math.max(60, Math.round((to - from) * STEPS_PER_DECADE)) : LINEAR_STEPS
  if (whole) {  // on a logarithmic scale several places may be one whole number: each is a place once
    const all = Array.from({length: count + 1}, (_, p) => Math.round(10 ** (from + (to - from) * p / count)))
    const values = [...new Set(all)]
    const nearest = (v) => values.reduce((best, each, i) => Math.abs(each - v) < Math.abs(values[best] - v) ? i : best, 0)
    return {count: values.length - 1, at: (p) => values[p], of: nearest}
  }
  return {
    count,
    at: (p) => {
      const raw = from + (to - from) * p / count
      const value = log ? 10 ** raw : raw
      return Math.min(high, Math.max(low, Number(value.toPrecision(log ? 3 : 4))))
    },
    of: (v) => Math.round(count * ((log ? Math.log10(v) : v) - from) / (to - from)),
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value))
