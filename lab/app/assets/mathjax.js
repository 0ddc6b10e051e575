// Sets the formulas of a text by the MathJax of Bokeh, which a notebook is not loaded with.
export async function render({model, el}) {
  const provider = Bokeh.require("models/text/providers").default_provider
  if (!provider.MathJax) {
    const script = document.createElement("script")
    script.textContent = model.code
    document.head.append(script)
    await provider.fetch()
  }
  const {text} = stateOf(model)
  let html = "", end = 0
  for (const formula of provider.MathJax.find_tex(text)) {
    html += text.slice(end, formula.start.n) + provider.MathJax.tex2svg(formula.math, {display: formula.display}).outerHTML
    end = formula.end.n
  }
  el.innerHTML = html + text.slice(end)
}
