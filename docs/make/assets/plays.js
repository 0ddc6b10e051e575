// The plays in their frames have the tone of the site.
const frames = [...document.querySelectorAll("iframe.play")]
const tone = () => document.body.dataset.mdColorScheme === "slate" ? "dark" : "light"
const show = () => frames.forEach((each) => { each.src = `${each.dataset.src}?${tone()}#theme=${tone()}` })
if (frames.length) {
  show()
  new MutationObserver(show).observe(document.body, {attributeFilter: ["data-md-color-scheme"]})
}
