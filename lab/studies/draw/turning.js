// Bodies in space, drawn into the image of a figure as its camera sees them: what space.py does, while a hand turns them.
// Arguments: fig; image, seen, hidden: sources of the layers; camera, mesh, colours, marks: sources of what is drawn; look.
const entry = (map, key) => map instanceof Map ? map.get(key) : map[key]
const pairs = (map) => map instanceof Map ? [...map] : Object.entries(map)
const view = fig.turning ??= {now: null, from: null, frame: null, rest: null, size: 0, drawn: 0}
const here = () => view.now ?? [camera.data.azimuth[0], camera.data.elevation[0]]

function project() {
  const radians = here().map((degrees) => degrees * Math.PI / 180)
  const [ca, sa, ce, se] = [Math.cos(radians[0]), Math.sin(radians[0]), Math.cos(radians[1]), Math.sin(radians[1])]
  const axes = [[-sa, ca, 0], [-se * ca, -se * sa, ce], [ce * ca, ce * sa, se]]
  const turned = (points) => {
    const out = new Float64Array(points.length)
    for (let k = 0; k < points.length; k += 3)
      for (let c = 0; c < 3; c++)
        out[k + c] = axes[c][0] * points[k] + axes[c][1] * points[k + 1] + axes[c][2] * points[k + 2]
    return out
  }
  const placed = (points, body, places) => {
    const out = turned(points)
    for (let k = 0; k < body.length; k++)
      for (let c = 0; c < 2; c++) out[3 * k + c] += places[2 * body[k] + c]
    return out
  }
  const told = mesh.tags[0], places = entry(told, "places")
  const normals = turned(entry(told, "normals")), lit = new Float64Array(normals.length / 3)
  for (let k = 0; k < normals.length; k++) lit[Math.floor(k / 3)] += normals[k] * look.light[k % 3]
  return {
    points: placed(entry(told, "vertices"), entry(told, "body"), places), lit,
    faces: entry(told, "faces"), colours: entry(colours.tags[0], "colours"),
    marks: placed(entry(marks.tags[0], "marks"), entry(marks.tags[0], "marked"), places),
  }
}

// The faces on a grid of w x h samples, row 0 at the bottom: at each sample the nearest one, by the z-buffer.
function rasterise({points, lit, faces, colours}, [left, bottom, right, top], w, h) {
  if (view.size !== w * h)
    Object.assign(view, {near: new Float64Array(w * h), colour: new Uint8ClampedArray(3 * w * h), size: w * h})
  const {near, colour} = view
  near.fill(-Infinity)
  const sx = w / (right - left), sy = h / (top - bottom)
  const x = [0, 0, 0], y = [0, 0, 0], z = [0, 0, 0], tint = [0, 1, 2].map(() => [0, 0, 0])
  for (let f = 0; f < faces.length; f += 3) {
    for (let c = 0; c < 3; c++) {
      const k = 3 * faces[f + c]
      x[c] = (points[k] - left) * sx; y[c] = (points[k + 1] - bottom) * sy; z[c] = points[k + 2]
    }
    const ux = x[1] - x[0], uy = y[1] - y[0], vx = x[2] - x[0], vy = y[2] - y[0], area = ux * vy - vx * uy
    let a = 0, b = 1, c = 2, t
    if (y[b] < y[a]) { t = a; a = b; b = t }
    if (y[c] < y[b]) { t = b; b = c; c = t }
    if (y[b] < y[a]) { t = a; a = b; b = t }
    const first = Math.max(0, Math.ceil(y[a] - 0.5)), last = Math.min(h, Math.ceil(y[c] - 0.5))
    if (area === 0 || first >= last) continue
    for (let k = 0; k < 3; k++) {
      const light = Math.min(1, Math.max(0, 0.5 + 0.5 * (area < 0 ? -1 : 1) * lit[faces[f + k]]))
      const share = look.ambient + (1 - look.ambient) * light
      for (let n = 0; n < 3; n++) tint[n][k] = share * colours[3 * faces[f + k] + n]
    }
    const slope = ([p, q, r]) => [((q - p) * vy - (r - p) * uy) / area, ((r - p) * ux - (q - p) * vx) / area]
    const [zx, zy] = slope(z), [rx, ry] = slope(tint[0]), [gx, gy] = slope(tint[1]), [bx, by] = slope(tint[2])
    for (let row = first; row < last; row++) {
      const at = row + 0.5, upper = at >= y[b]
      const long = x[a] + (at - y[a]) / (y[c] - y[a]) * (x[c] - x[a])
      const [p, q] = upper ? [b, c] : [a, b]
      const short = x[p] + (at - y[p]) / (y[q] - y[p]) * (x[q] - x[p])
      const begin = Math.max(0, Math.ceil(Math.min(long, short) - 0.5))
      const end = Math.min(w, Math.ceil(Math.max(long, short) - 0.5))
      const dx = begin + 0.5 - x[0], dy = at - y[0]
      let depth = z[0] + zx * dx + zy * dy, red = tint[0][0] + rx * dx + ry * dy
      let green = tint[1][0] + gx * dx + gy * dy, blue = tint[2][0] + bx * dx + by * dy
      for (let k = row * w + begin, stop = row * w + end; k < stop; k++) {
        if (depth > near[k]) {
          near[k] = depth
          colour[3 * k] = red; colour[3 * k + 1] = green; colour[3 * k + 2] = blue
        }
        depth += zx; red += rx; green += gx; blue += bx
      }
    }
  }
}

function draw(samples) {
  const x = fig.x_range, y = fig.y_range
  // Bokeh draws half a pixel to the right and below
  const dx = (x.end - x.start) / fig.inner_width / 2, dy = (y.end - y.start) / fig.inner_height / 2
  const span = [x.start - dx, y.start + dy, x.end - dx, y.end + dy]
  if (!(fig.inner_width > 0 && fig.inner_height > 0) || !span.every(Number.isFinite)) return
  const sharp = Math.min(window.devicePixelRatio || 1, 2)
  const w = Math.round(fig.inner_width * sharp), h = Math.round(fig.inner_height * sharp)
  const scene = project()
  rasterise(scene, span, w * samples, h * samples)
  const Pixels = image.data.image[0].constructor, out = new Pixels(w * h), {near, colour} = view
  for (let j = 0; j < h; j++)
    for (let i = 0; i < w; i++) {
      let n = 0, red = 0, green = 0, blue = 0
      for (let v = 0; v < samples; v++)
        for (let u = 0, k = (j * samples + v) * w * samples + i * samples; u < samples; u++, k++)
          if (near[k] > -Infinity) {
            n++
            red += colour[3 * k]; green += colour[3 * k + 1]; blue += colour[3 * k + 2]
          }
      const [alpha, b, g, r] = [255 * n / samples ** 2, blue / n, green / n, red / n].map(Math.round)
      if (n) out[j * w + i] = alpha << 24 | b << 16 | g << 8 | r
    }
  const [left, bottom, right, top] = span
  put(image, {image: [new Pixels(out, [h, w])], x: [left], y: [bottom], dw: [right - left], dh: [top - bottom]})
  mark(scene)
  view.drawn = samples
}

// Marks on what faces the eye, and those behind a surface, in a layer each.
function mark({points, faces, marks: at}) {
  const count = at.length / 3, behind = new Uint8Array(count)
  for (let f = 0; f < faces.length && count; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]]
    const ux = points[b] - points[a], uy = points[b + 1] - points[a + 1]
    const vx = points[c] - points[a], vy = points[c + 1] - points[a + 1]
    const area = ux * vy - vx * uy
    for (let k = 0; k < count && area !== 0; k++) {
      const dx = at[3 * k] - points[a], dy = at[3 * k + 1] - points[a + 1]
      const one = (vy * dx - vx * dy) / area, two = (ux * dy - uy * dx) / area
      if (one < 0 || two < 0 || one + two > 1) continue
      const depth = points[a + 2] + one * (points[b + 2] - points[a + 2]) + two * (points[c + 2] - points[a + 2])
      if (depth > at[3 * k + 2] + look.deep) behind[k] = 1
    }
  }
  for (const [layer, kind] of [[seen, 0], [hidden, 1]]) {
    const place = (c) => Array.from({length: count}, (_, k) => behind[k] === kind ? at[3 * k + c] : NaN)
    if ((layer.data.x?.length ?? 0) === count) put(layer, {x: place(0), y: place(1)})
  }
}

// the server need not hear of it
const put = (source, columns) => source.setv({data: {...Object.fromEntries(pairs(source.data)), ...columns}}, {sync: false})

// Quickly while something moves, and finely when it rests.
function soon() {
  clearTimeout(view.rest)
  view.rest = setTimeout(() => draw(2), 150)
  view.frame ??= requestAnimationFrame(() => { view.frame = null; draw(1) })
}

switch (cb_obj.event_name) {
  case "panstart":
    view.from = fig.toolbar.gestures?.pan?.active == null ? [cb_obj.sx, cb_obj.sy, ...here()] : null
    break
  case "pan": {
    if (view.from == null) break
    const [x, y, azimuth, elevation] = view.from, degrees = 180 / Math.min(fig.inner_height, fig.inner_width)
    const up = elevation + (cb_obj.sy - y) * degrees
    view.now = [azimuth - (cb_obj.sx - x) * degrees, Math.min(90, Math.max(-90, up))]
    soon()
    break
  }
  case "panend":
    if (view.now != null) camera.data = {azimuth: [view.now[0]], elevation: [view.now[1]]}
    view.from = view.now = null
    break
  case "reset":
    camera.data = {azimuth: [look.home[0]], elevation: [look.home[1]]}
    break
  default:
    soon()
}
