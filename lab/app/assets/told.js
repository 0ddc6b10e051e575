// Words that Python has made safe. The pictures beside them are dimmed while they are of an earlier run.
export function render({model, el}) {
  follow(model, (state) => { el.innerHTML = state.html; dim(el, "--shown", state.stale) })
}
