// Sets the formulas of a text by the MathJax of Bokeh, which no page begins with.
const load = ({code}) => new Promise((done, failed) => {
  const script = document.createElement("script"), beside = document.querySelector('script[src*="/bokeh.min.js"], script[src*="/bokeh-3"]')
  if (code || !beside) script.textContent = code
  else Object.assign(script, {src: beside.src.replace(/\/bokeh(?=[^/]*$)/, "/bokeh-mathjax"), onload: done, onerror: failed})
  document.head.append(script)
  if (!script.src) done()
})

export async function render({model, el}) {
  const provider = Bokeh.require("models/text/providers").default_provider
  if (!provider.MathJax) await load(model).then(() => provider.fetch()).catch(() => {})  // without it formulas are read as written
  const {text} = stateOf(model)
  let html = "", end = 0
  for (const formula of provider.MathJax?.find_tex(text) ?? []) {
    html += text.slice(end, formula.start.n) + provider.MathJax.tex2svg(formula.math, {display: formula.display}).outerHTML
    end = formula.end.n
  }
  el.innerHTML = html + text.slice(end)
}
