/** Forms that take something away ask first. */
export function askBefore(root: Document): void {
  root.addEventListener("submit", (event) => {
    const question = (event.target as HTMLElement).dataset["confirm"];
    if (question && !confirm(question)) {
      event.preventDefault();
    }
  });
}
