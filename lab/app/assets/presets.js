// Starting points that show something: the first few, the others on request.
const FIRST = 5

export function render({model, el}) {
  let all = false
  const draw = () => {
    const state = stateOf(model)
    const few = !all && state.presets.length > FIRST + 1
    const shown = state.presets.filter(({name}, i) => !few || i < FIRST || name === state.active)
    const chips = shown.map(({name, title, doc}) => h("button", {
      type: "button", class: "chip", title: doc, "aria-pressed": String(name === state.active),
      onclick: press(model, {preset: name}),
    }, title))
    const more = few && h("button", {type: "button", class: "chip more", onclick: () => { all = true; draw() }},
      `${state.presets.length - shown.length} more`)
    fill(el, h("div", {class: "label"}, "Try"), h("div", {class: "chips"}, ...chips, more))
  }
  model.on("state", draw)
  draw()
}
