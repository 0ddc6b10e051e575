// Sets the formulas of a page by the MathJax that Bokeh brings along, as the lab's own pages do; loaded only where there are any.
const formulas = [...document.querySelectorAll(".arithmatex")]
if (formulas.length) {
  const assets = new URL(".", document.querySelector('script[src$="assets/formulas.js"]').src)
  const load = (name) => new Promise((done) => {
    const script = document.createElement("script")
    script.src = new URL(name, assets)
    script.onload = done
    document.head.append(script)
  })
  load("bokeh.min.js").then(() => load("bokeh-mathjax.min.js")).then(async () => {
    const provider = Bokeh.require("models/text/providers").default_provider
    if (!provider.MathJax) await provider.fetch()
    for (const each of formulas) {
      const text = each.textContent.trim()
      each.innerHTML = provider.MathJax.tex2svg(text.slice(2, -2), {display: text.startsWith("\\[")}).outerHTML
    }
    document.documentElement.dataset.formulas = "set"
  })
}
