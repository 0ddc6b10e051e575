// One chip for each field, and one for all. A card that is pressed says that its page is on its way, which takes a second or two.
export function render({model, el}) {
  let pressed = null
  const rest = () => { pressed?.removeAttribute("aria-busy"); pressed = null }
  const press_card = (event) => {
    const link = event.composedPath().find((part) => part.tagName === "A" && part.querySelector(".picture"))
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    rest()
    pressed = link
    link.setAttribute("aria-busy", "true")
  }
  document.addEventListener("click", press_card)
  // Back leads to where one was, which the browser forgets: the cards are not there yet when it looks.
  const leave = () => { try { sessionStorage.setItem("lab-gallery", String(scrollY)) } catch { /* the top will do */ } }
  addEventListener("pagehide", leave)
  const back = performance.getEntriesByType("navigation")[0]?.type === "back_forward"
  let at = 0
  try { at = back ? Number(sessionStorage.getItem("lab-gallery")) : 0 } catch { /* the top will do */ }
  const coming = at > 0 && setInterval(() => {
    if (scrollY || performance.now() > 10_000) return clearInterval(coming)
    if (document.documentElement.scrollHeight >= at + innerHeight) scrollTo(0, at)
  }, 50)
  addEventListener("pageshow", rest)  // it was gone back to
  follow(model, (state) => fill(el, h("div", {class: "fields", role: "group", "aria-label": "Fields"}, state.chips.map(([name, title, count]) =>
    h("button", {type: "button", class: "chip", "aria-pressed": String(name === state.active), onclick: press(model, {field: name})},
      `${title} ${count}`)), h("span", {class: "key"}, "bar: claims that held, of all that can be checked"))))
  return () => { document.removeEventListener("click", press_card); removeEventListener("pageshow", rest)
    removeEventListener("pagehide", leave); clearInterval(coming) }
}
