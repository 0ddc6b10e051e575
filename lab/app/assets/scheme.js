// Tells Python which theme the page has, now and when it is switched.
export function render({model, el}) {
  const tell = () => {
    const dark = document.documentElement.dataset.theme === "dark"
    if (dark !== model.dark) model.dark = dark
  }
  addEventListener("lab-theme", tell)
  tell()
  return () => removeEventListener("lab-theme", tell)
}
