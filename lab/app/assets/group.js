// The title of a group of pictures, with what they show now. A press folds them.
export function render({model, el}) {
  const fold = h("button", {type: "button", onclick: () => model.send_msg({open: fold.getAttribute("aria-expanded") !== "true"})})
  const finding = h("p", {})
  fill(el, h("h2", {}, fold), finding)
  follow(model, (state) => {
    fold.textContent = state.title ?? ""
    fold.title = state.open ? "Fold these pictures away" : "Show these pictures"
    fold.setAttribute("aria-expanded", String(Boolean(state.open)))
    finding.textContent = state.finding ?? ""
  })
}
