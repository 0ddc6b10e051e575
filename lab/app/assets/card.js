// The head of a card: what the picture is, how to read it, and what is going on with it. Tells when it comes in sight.
export function render({model, el}) {
  const eye = new IntersectionObserver((entries) => {
    const seen = entries.at(-1).isIntersecting
    if (seen !== model.seen) model.seen = seen
  }, {rootMargin: "120px"})
  eye.observe(el)
  follow(model, (state) => {
    dim(el, "--swept", state.stale)
    fill(el,
      h("h3", {}, state.title), h("p", {class: "muted small"}, state.caption),
      state.note ? h("p", {class: state.again ? "small note" : "muted small", role: "status"}, state.note,
        state.again ? h("button", {type: "button", onclick: () => model.send_msg({again: true})}, "Compute") : null) : null,
      h("div", {class: "track", "data-on": state.part != null}, h("i", {style: `width: ${100 * (state.part ?? 0)}%`})),
    )
  })
  return () => eye.disconnect()
}
