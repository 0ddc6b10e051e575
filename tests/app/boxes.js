// The words of all pictures of a page that are cut, or that lie over each other, measured as the browser has drawn them.
() => {
  const found = [], pen = document.createElement("canvas").getContext("2d")
  const views = (view) => [view, ...(view.children ? [...view.children()] : []).flatMap(views)]
  for (const plot of [...Bokeh.index].flatMap(views).filter((view) => view.model?.type === "Figure")) {
    const frame = plot.frame?.bbox ?? plot.frame_view?.bbox
    if (!frame || !plot.el.getBoundingClientRect().width) continue
    const boxes = []
    for (const {model, glyph} of plot.all_renderer_views ?? plot.renderer_views.values()) {
      if (model.type !== "GlyphRenderer" || glyph?.model?.type !== "Text" || !model.visible) continue
      const {text_font_size, text_font, text_font_style, text_align, text_baseline} = glyph.model
      const size = text_font_size?.value ?? "12px", line = parseFloat(size)
      pen.font = `${text_font_style?.value ?? "normal"} ${size} ${text_font?.value ?? "helvetica"}`
      const texts = [...(glyph.text.array ?? glyph.text)].map((each) => String(each?.text ?? each))
      texts.forEach((text, i) => {
        const [x, y] = [glyph.sx[i], glyph.sy[i]], words = text.trim()
        if (words.length < 2 || !isFinite(x) || !isFinite(y)) return  // a mark that is a letter is no word
        const lines = text.split("\n"), high = line * (1 + 1.2 * (lines.length - 1))
        const wide = Math.max(...lines.map((each) => pen.measureText(each).width)), align = text_align?.value ?? "left", base = text_baseline?.value ?? "bottom"
        const left = align === "left" ? x : align === "right" ? x - wide : x - wide / 2
        const top = base === "top" ? y : base === "middle" ? y - high / 2 : y - high
        boxes.push({words, left, top, right: left + wide, bottom: top + high})
      })
    }
    for (const axis of plot.model.below) {  // its name stands below the middle of the axes
      if (!axis.visible || !axis.axis_label) continue
      pen.font = `${axis.axis_label_text_font_style} ${axis.axis_label_text_font_size} ${axis.axis_label_text_font}`
      const wide = (text) => Math.max(...text.split("\n").map((each) => pen.measureText(each).width))
      const middle = axis.axis_label_align === "start" ? frame.x0 : (frame.x0 + frame.x1) / 2  // of the name with blanks ahead
      const right = middle + wide(axis.axis_label) / 2, left = right - wide(axis.axis_label.replace(/^\u00a0+/gm, ""))
      const beyond = Math.max(-left, right - plot.bbox.width)
      if (beyond > 1) found.push(`${plot.model.name}: the name “${axis.axis_label}” of an axis is cut by ${beyond.toFixed(0)} px`)
    }
    const say = (what) => found.push(`${plot.model.name ?? plot.model.title?.text ?? ""}: ${what}`)
    boxes.forEach((one, i) => {
      const beyond = Math.max(frame.x0 - one.left, one.right - frame.x1, frame.y0 - one.top - 2, one.bottom - frame.y1 - 2)
      if (beyond > 4) say(`“${one.words}” is cut by ${beyond.toFixed(0)} px`)
      for (const other of boxes.slice(i + 1)) {
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left)
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top)
        if (across > 2 && down > 3) say(`“${one.words}” lies over “${other.words}”`)
      }
    })
  }
  return found
}
