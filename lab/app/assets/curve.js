// A small curve over a track, and a mark where one is. Points are [place, height], both from 0 to 1; a null height is a gap.
const TALL = 50, AIR = 4
const drawn = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  return element
}
const heightAt = (points, place) => {
  const known = points.filter(([, height]) => height != null)
  if (!known.length) return null
  const after = known.findIndex(([x]) => x >= place - 1e-9)
  if (after < 0) return null
  const [x1, y1] = known[after]
  if (after === 0 || x1 - place < 1e-9) return x1 - place < 1e-3 ? y1 : null
  const [x0, y0] = known[after - 1]
  return y0 + (y1 - y0) * (place - x0) / (x1 - x0)
}
const drawCurve = (box, points, place, dots = true) => {
  const y = (height) => (AIR + (TALL - 2 * AIR) * (1 - height)).toFixed(1)
  const x = (at) => (1000 * at).toFixed(1)
  const line = drawn("svg", {viewBox: `0 0 1000 ${TALL}`, preserveAspectRatio: "none", "aria-hidden": "true"})
  const runs = points.reduce((all, [at, height]) => {
    if (height == null) all.push([])
    else all.at(-1).push([at, height])
    return all
  }, [[]]).filter((run) => run.length > 1)
  for (const run of runs) {
    const path = run.map(([at, height]) => `${x(at)},${y(height)}`).join(" ")
    line.append(drawn("polygon", {points: `${x(run[0][0])},${TALL} ${path} ${x(run.at(-1)[0])},${TALL}`, class: "area"}))
    line.append(drawn("polyline", {points: path, class: "line", "vector-effect": "non-scaling-stroke"}))
  }
  const marks = dots ? points.filter(([, height]) => height != null).map(([at, height]) =>
    h("i", {class: "dot", style: `left:${100 * at}%;top:${y(height)}px`})) : []
  const height = place == null ? null : heightAt(points, place)
  const here = height == null ? null : h("i", {class: "dot here", style: `left:${100 * place}%;top:${y(height)}px`})
  fill(box, line, marks, here)
}

// Where the page is narrow, what is under the hero is a sheet at the lower edge of the window: how high it is, for what else lies there.
const sheet = (el) => {
  const column = el.getRootNode().host?.getRootNode().host
  if (!column) return () => {}  // a share's, which stays in the text
  const ruler = new ResizeObserver(() => document.documentElement.style.setProperty("--sheet",
    `${getComputedStyle(column).position === "fixed" ? column.offsetHeight : 0}px`))
  ruler.observe(column)
  return () => ruler.disconnect()
}

const SMALL = {"-": "⁻", ...Object.fromEntries([..."0123456789"].map((d, i) => [d, "⁰¹²³⁴⁵⁶⁷⁸⁹"[i]]))}
const figureOf = (v) => {  // as lab.words.number
  const near = Math.abs(v) >= 1e3 && Math.abs(v) < 1e6 ? Math.round(v) : Number(v.toPrecision(4))
  const [mantissa, power] = near.toExponential().replace("e+", "e").split("e")
  const text = near && (power < -4 || power >= 6) ? `${mantissa}·10${power.replace(/./g, (c) => SMALL[c])}`.replace(/^(-?)1·/, "$1")
    : near.toLocaleString("en", {maximumFractionDigits: 8})
  return text.replace("-", "−")
}

// What is played along and where one is, on two lines where there is no room for one: a name may be cut, a number may not.
const tell = (output, name, figure) => {
  output.classList.toggle("long", name.length > 9)
  fill(output, h("span", {title: name}, name), " ", h("span", {}, `= ${figure}`))
}
