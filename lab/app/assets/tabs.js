// The heads of the tabs.
export function render({model, el}) {
  let heads = []
  const list = h("div", {role: "tablist", onkeydown: (event) => {
    const way = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (!way) return
    const next = heads[(heads.indexOf(event.target) + way + heads.length) % heads.length]
    next.focus(); next.click()
  }})
  el.replaceChildren(list)
  follow(model, (state) => {
    const focused = heads.indexOf(el.getRootNode().activeElement)
    heads = state.tabs.map(([name, title]) => h("button", {
      type: "button", role: "tab", "aria-selected": String(name === state.active), tabindex: name === state.active ? 0 : -1,
      onclick: () => model.send_msg({tab: name}),
    }, title))
    list.replaceChildren(...heads)
    heads[focused]?.focus()
  })
}
