// The steps: a question, a button that sets what it asks about, the answer. What is done is kept in the browser.
const copied = async (text, button) => {
  try { await navigator.clipboard.writeText(text); button.textContent = "✓" } catch { button.textContent = "✗" }
  setTimeout(() => { button.textContent = "#" }, 1500)
}

export function render({model, el}) {
  let state = null, open = new Set()
  const key = () => `lab-steps-${state.slug}`
  const done = () => { try { return new Set(JSON.parse(localStorage.getItem(key()) ?? "[]")) } catch { return new Set() } }
  const finish = (number) => { try { localStorage.setItem(key(), JSON.stringify([...done().add(number)])) } catch { /* kept for this page only */ } }
  const press = (number) => {  // the button tells so at once, whatever the server does meanwhile
    open.add(number)
    el.querySelector(`[data-for="s${number}"]`)?.setAttribute("aria-busy", "true")
    model.send_msg({press: number})
  }
  const ask = (number) => { open.add(number); model.send_msg({answer: number}); draw() }
  const draw = () => {
    const over = done()
    const focused = el.getRootNode().activeElement?.dataset.for
    const rows = h("ol", {}, state.steps.map((step, i) => {
        const told = open.has(i) && step.answer
        if (told && !over.has(i)) { finish(i); over.add(i) }
        const link = h("button", {type: "button", class: "copy", title: "Copy a link to this step", "aria-label": `copy a link to step ${i + 1}`,
          onclick: (event) => copied(`${location.origin}${step.link}#step=${i + 1}`, event.currentTarget)}, "#")
        const answer = told ? [step.holds ? null : h("b", {class: "not"}, "Not here: "), step.answer]
          : step.refused ? [h("span", {class: "not"}, step.refused)]
          : step.waits && open.has(i) ? ["being computed …"]
          : [h("button", {type: "button", class: "link", "data-for": `a${i}`, onclick: () => ask(i)}, "Show the answer")]
        return h("li", {class: [over.has(i) && "over", step.here && "here"].filter(Boolean).join(" ")},
          h("span", {class: "n"}, i + 1), h("span", {class: "q"}, step.question),
          h("button", {type: "button", class: "set", "data-for": `s${i}`, "aria-pressed": String(step.here), onclick: () => press(i)}, step.sets),
          h("span", {class: "a", role: "status"}, ...answer), link)
      }))
    const count = state.steps.filter((_, i) => over.has(i)).length
    fill(el, h("div", {class: "top"}, h("h2", {}, "Steps"), h("span", {}, "guess, press, then look"),
      h("span", {class: "done"}, `${count} of ${state.steps.length} done`)), rows)
    el.querySelector(`[data-for="${focused}"]`)?.focus()
    dispatchEvent(new CustomEvent("lab-steps", {detail: {steps: state.steps, open: [...open], press}}))
  }
  const asked = Number(new URLSearchParams(location.hash.slice(1)).get("step")) - 1
  follow(model, (given) => {
    state = given
    if (asked >= 0 && asked < state.steps.length && !open.has(asked)) { open.add(asked); model.send_msg({answer: asked}) }
    draw()
  })
  const tell = () => draw()
  addEventListener("lab-present", tell)
  return () => removeEventListener("lab-present", tell)
}
