// One thing on a page has one identity: what lies under the pointer is lit in every picture, a press keeps it, Esc lets go.
// Pictures say in the tags of their columns what their marks stand for; a curve or an image is known by its name. Curves over
// the same axis show one place in all of them.
window.labLit ??= (() => {
  const NEAR = 6, MOST = 400
  let lit = null, kept = false, drawn = new Set(), seen = [], looked = 0, beat = 0, down = null
  const within = (view) => [view, ...[...(view.children?.() ?? [])].flatMap(within)]
  const figures = () => {
    if (performance.now() - looked > 500) {
      seen = [...Bokeh.index].flatMap(within).filter((each) => each.model.type === "Figure" && each.frame)
      looked = performance.now()
    }
    return seen.filter((each) => each.el.isConnected && each.el.checkVisibility?.() !== false)
  }
  const who = (source) => source?.tags?.find?.((tag) => tag?.who ?? tag?.get?.("who"))
  const told = (renderer) => {
    const tag = renderer.visible !== false && who(renderer.data_source)
    const own = tag && (tag.who ?? tag.get("who"))
    return own ? (own instanceof Map ? Object.fromEntries(own) : own) : null
  }
  const column = (source, spec) => {
    const data = source.data, name = spec?.field ?? spec
    return data instanceof Map ? data.get(name) : data[name]
  }
  // The marks of a layer on the screen: kind of shape, and the places of each in pixels of its figure.
  const marks = (view, renderer) => {
    const {glyph, data_source: source} = renderer, {x_scale, y_scale} = view.frame
    const X = (v) => x_scale.compute(v), Y = (v) => y_scale.compute(v)
    const take = (...names) => names.map((name) => column(source, glyph[name]))
    switch (glyph.type) {
      case "Scatter": { const [x, y] = take("x", "y"); const size = column(source, glyph.size)
        return x && {shape: "dot", count: x.length, at: (k) => [X(x[k]), Y(y[k]), (size?.[k] ?? (Number(glyph.size?.value) || 6)) / 2]} }
      case "Segment": { const [x0, y0, x1, y1] = take("x0", "y0", "x1", "y1")
        return x0 && {shape: "line", count: x0.length, at: (k) => [X(x0[k]), Y(y0[k]), X(x1[k]), Y(y1[k])]} }
      case "Line": { const [x, y] = take("x", "y")
        return x && {shape: "way", count: 1, length: x.length, point: (k) => [X(x[k]), Y(y[k])], x, y} }
      case "Quad": { const [left, right, top, bottom] = take("left", "right", "top", "bottom")
        return left && {shape: "box", count: left.length, at: (k) => [X(left[k]), Y(top[k]), X(right[k]), Y(bottom[k])]} }
      case "ImageRGBA": { const [x, y, dw, dh] = take("x", "y", "dw", "dh")
        return x && {shape: "box", count: 1, at: () => [X(x[0]), Y(y[0] + dh[0]), X(x[0] + dw[0]), Y(y[0])]} }
    }
    return null
  }
  const id = (own, kind, k) => kind === "name" ? own.name : own[kind] == null ? k : own[kind][k]
  const toLine = (px, py, x0, y0, x1, y1) => {
    const dx = x1 - x0, dy = y1 - y0, t = Math.max(0, Math.min(1, ((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy || 1)))
    return Math.hypot(px - x0 - t * dx, py - y0 - t * dy)
  }
  const ids = (own, k) => {
    const found = Object.fromEntries(Object.keys(own).map((kind) => [kind, id(own, kind, k)]))
    return Object.values(found).some((each) => typeof each === "number" && each < 0) ? null : found
  }
  const box = (figure) => figure.el.getBoundingClientRect()
  // What lies under a place of the window: the nearest dot, else the nearest line, else a bar in whose lane it is.
  const under = (clientX, clientY) => {
    for (const figure of figures()) {
      const {x, y} = box(figure), px = clientX - x, py = clientY - y, {left, right, top, bottom} = figure.frame.bbox
      if (px < left || px > right || py < top || py > bottom) continue
      const best = {dot: [NEAR, null], line: [NEAR - 1, null], way: [NEAR, null], box: [1, null]}
      let place = null, lane = null
      for (const renderer of figure.model.renderers) {
        const own = told(renderer), all = own || renderer.glyph?.type === "Line" ? marks(figure, renderer) : null
        if (!all) continue
        if (all.shape === "way" && all.length > 1) {
          place ??= {axis: figure.model.below[0]?.axis_label, x: figure.frame.x_scale.invert(px)}
          if (own) for (let k = 1; k < all.length; k++) {
            const far = toLine(px, py, ...all.point(k - 1), ...all.point(k))
            if (far < best.way[0]) best.way = [far, ids(own, 0)]
          }
          continue
        }
        for (let k = 0; own && k < all.count; k++) {
          const p = all.at(k)
          if (all.shape === "dot") {
            const far = Math.hypot(px - p[0], py - p[1]) - p[2]
            if (far < best.dot[0]) best.dot = [far, ids(own, k)]
          } else if (all.shape === "line") {
            const far = toLine(px, py, ...p)
            if (far < best.line[0]) best.line = [far, ids(own, k)]
          } else {
            const over = px >= p[0] && px <= p[2], beside = py >= p[1] && py <= p[3]
            if (over && beside) best.box = [0, ids(own, k)]
            else if (over && own.target !== undefined) lane ??= ids(own, k)
          }
        }
      }
      const found = best.dot[1] ?? best.line[1] ?? best.way[1] ?? best.box[1] ?? lane
      return found || (place?.axis ? {place} : null)
    }
    return null
  }
  const svg = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
    return made
  }
  const cover = (figure) => {
    const root = figure.shadow_el ?? figure.el
    let over = figure.labCover
    if (!over?.isConnected) {
      over = figure.labCover = svg("svg", {"aria-hidden": "true", style: "position:absolute;pointer-events:none;overflow:hidden;z-index:3"})
      root.append(over)
    }
    const {left, top, width, height} = figure.frame.bbox
    Object.assign(over.style, {left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px`})
    over.setAttribute("viewBox", `${left} ${top} ${width} ${height}`)
    drawn.add(over)
    return over
  }
  const STROKE = {fill: "none", stroke: "var(--ink, #222)", "stroke-width": 2}
  const light = (figure) => {
    const shapes = []
    if (lit.place) {
      const {axis, x} = lit.place
      const curves = figure.model.renderers.some((each) => each.glyph?.type === "Line" && each.visible !== false)
      if (curves && figure.model.below[0]?.axis_label === axis) {
        const at = figure.frame.x_scale.compute(x), {top, bottom} = figure.frame.bbox
        shapes.push(svg("line", {...STROKE, x1: at, x2: at, y1: top, y2: bottom, "stroke-width": 1, opacity: 0.45}))
      }
    } else for (const renderer of figure.model.renderers) {
      const own = told(renderer), shared = own && Object.keys(lit).filter((kind) => kind in own)
      if (!shared?.length) continue
      const all = marks(figure, renderer)
      for (let k = 0; all && k < all.count && shapes.length < MOST; k++) {
        if (!shared.every((kind) => id(own, kind, k) === lit[kind])) continue
        if (all.shape === "way") {
          const points = Array.from({length: all.length}, (_, i) => all.point(i).map((v) => Number.isFinite(v) ? v.toFixed(1) : null))
          let d = "", open = false
          for (const [a, b] of points) { if (a == null || b == null) { open = false; continue } d += `${open ? "L" : "M"}${a} ${b}`; open = true }
          shapes.push(svg("path", {...STROKE, d, "stroke-width": 3.5, opacity: 0.55}))
          continue
        }
        const p = all.at(k)
        if (!p.every(Number.isFinite)) continue
        if (all.shape === "dot") shapes.push(svg("circle", {...STROKE, cx: p[0], cy: p[1], r: p[2] + 3.5}))
        else if (all.shape === "line") shapes.push(svg("line", {...STROKE, x1: p[0], y1: p[1], x2: p[2], y2: p[3]}))
        else {
          const {top, bottom, left, right} = figure.frame.bbox
          const lane = own.target !== undefined ? [p[0], top, p[2], bottom] : own.source !== undefined ? [left, p[1], right, p[3]] : p
          shapes.push(svg("rect", {...STROKE, x: lane[0], y: lane[1], width: Math.max(lane[2] - lane[0], 1), height: Math.max(lane[3] - lane[1], 1),
            "stroke-width": 1.5, "fill-opacity": 0.08, fill: lane === p ? "none" : "var(--ink, #222)"}))
        }
      }
    }
    if (shapes.length > 60) for (const shape of shapes) shape.setAttribute("stroke-width", 1)
    if (shapes.length || figure.labCover?.childElementCount) cover(figure).replaceChildren(...shapes)
  }
  const draw = () => {
    if (lit) for (const figure of figures()) light(figure)
    else { for (const over of drawn) over.replaceChildren(); drawn.clear() }
  }
  const set = (next) => {
    if (JSON.stringify(next) === JSON.stringify(lit)) return
    lit = next
    clearInterval(beat)
    if (lit) beat = setInterval(draw, 120)  // players move what is lit
    draw()
  }
  const write = () => {
    const hash = new URLSearchParams(location.hash.slice(1))
    if (kept && !lit.place) hash.set("lit", JSON.stringify(lit)); else hash.delete("lit")
    history.replaceState(history.state, "", location.pathname + location.search + (hash.size ? `#${hash}` : ""))
  }
  const letGo = () => { if (kept) { kept = false; set(null); write() } }
  let next = null
  addEventListener("pointermove", (event) => {
    if (kept || event.buttons) return
    if (next === null) requestAnimationFrame(() => { const [x, y] = next; next = null; if (!kept) set(under(x, y)) })
    next = [event.clientX, event.clientY]
  }, {passive: true, capture: true})
  document.documentElement.addEventListener("pointerleave", () => { if (!kept) set(null) })
  addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY] }, {passive: true, capture: true})
  addEventListener("click", (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return
    const figure = figures().find((each) => event.composedPath().includes(each.el))
    if (!figure || figure.model.tags.includes("clicks")) return  // a press there sets parameters
    const found = under(event.clientX, event.clientY)
    if (found && !found.place && JSON.stringify(found) !== (kept && JSON.stringify(lit))) { kept = true; set(found); write() }
    else letGo()
  }, {capture: true})
  addEventListener("keydown", (event) => { if (event.key === "Escape") letGo() })
  try {
    const asked = JSON.parse(new URLSearchParams(location.hash.slice(1)).get("lit"))
    if (asked && typeof asked === "object") { kept = true; set(asked) }
  } catch { /* somebody wrote it by hand */ }
  return {under, lit: () => lit}
})()
