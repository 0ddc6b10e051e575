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
  // The tab in view and how pictures are turned are in the address behind #, which the server does not see: it is told once.
  let asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))
  if (Object.keys(asked).length && stateOf(model).address) model.send_msg({...asked, asked: true})
  else asked = {}
  follow(model, (state) => {
    if (asked.tab && (state.also[asked.tab] ?? asked.tab) === state.active) { asked = {}; document.documentElement.classList.remove("arriving") }
    if (state.address && !asked.tab && location.pathname.endsWith(state.path)) {
      const lit = new URLSearchParams(location.hash.slice(1)).get("lit"), hash = [state.hash, lit && new URLSearchParams({lit})].filter(Boolean).join("&")
      const next = location.pathname + location.search + (hash && `#${hash}`)
      if (next !== location.pathname + location.search + location.hash) history.replaceState(history.state, "", next)
    }
    const focused = heads.indexOf(el.getRootNode().activeElement)
    heads = state.tabs.map(([name, title, badge]) => h("button", {
      type: "button", role: "tab", "aria-selected": String(name === state.active), tabindex: name === state.active ? 0 : -1,
      onclick: (event) => { asked = {}; press(model, {tab: name})(event) },
    }, title, badge ? h("span", {title: "claims that hold, of all that can be checked"}, badge) : null))
    list.replaceChildren(...heads)
    heads[focused]?.focus()
  })
}
