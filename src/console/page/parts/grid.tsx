/**
 * Grid: a list of rows of equal height, of which only those in view are in the document.
 *
 * It is one tab stop; arrow keys move the active row. The buttons of the active row come next in the
 * tab order, those of other rows are for the mouse.
 */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export interface GridProps<T> {
  label: string;
  rows: T[];
  keyOf: (row: T) => string;
  columns: { name: string; className?: string }[];
  cells: (row: T, isActive: boolean) => ComponentChildren;
  rowClass?: (row: T) => string;
  isSelected?: (row: T) => boolean;
  onKey?: (key: string, row: T | undefined) => boolean;
  /** The keys of the rows in view. */
  onView?: (keys: string[]) => void;
  className?: string;
  rowHeight?: number;
}

/** Rows beyond the edges of the view, so that scrolling shows no gap. */
const BEYOND = 10;
let count = 0;

export function Grid<T>(props: GridProps<T>) {
  const { rows, keyOf, columns, cells, rowHeight = 32 } = props;
  const root = useRef<HTMLDivElement>(null);
  const [id] = useState(() => `grid${(count += 1)}`);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [active, setActive] = useState<string | null>(null);

  useLayoutEffect(() => {
    const element = root.current;
    if (!element) return;
    const look = () =>
      setView((it) => {
        const { scrollTop: top, clientHeight: height } = element;
        return it.top === top && it.height === height ? it : { top, height };
      });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, []);

  const first = Math.max(0, Math.floor(view.top / rowHeight) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  const shown = rows.slice(first, last);
  props.onView?.(shown.map(keyOf));

  const at = active === null ? -1 : rows.findIndex((it) => keyOf(it) === active);
  const isShown = first <= at && at < last;

  function move(to: number) {
    const index = Math.max(0, Math.min(rows.length - 1, to));
    const row = rows[index];
    if (!row || !root.current) return;
    setActive(keyOf(row));
    const head = root.current.querySelector(".head")?.clientHeight ?? 0;
    const top = index * rowHeight;
    const room = root.current.clientHeight - head - rowHeight;
    if (top < root.current.scrollTop) root.current.scrollTop = top;
    else if (top > root.current.scrollTop + room) root.current.scrollTop = top - room;
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 2);
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      j: at + 1,
      ArrowUp: at - 1,
      k: at - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: at + page,
      PageUp: at - page,
    };
    const to = steps[event.key];
    const isOnButton = event.target !== root.current;
    if (to !== undefined) {
      move(to);
      root.current?.focus();
    } else if (isOnButton && (event.key === "Enter" || event.key === " ")) return;
    else if (!props.onKey?.(event.key, rows[at])) return;
    event.preventDefault();
  }

  return (
    <div
      ref={root}
      class={`grid ${props.className ?? ""}`}
      role="grid"
      aria-label={props.label}
      aria-rowcount={rows.length + 1}
      aria-multiselectable={props.isSelected ? "true" : undefined}
      aria-activedescendant={isShown ? `${id}-${active}` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        const isOwn = event.target === event.currentTarget;
        if (isOwn && at < 0 && event.currentTarget.matches(":focus-visible")) move(0);
      }}
    >
      <div class="row head" role="row" aria-rowindex={1}>
        {columns.map((it) => (
          <div key={it.name} role="columnheader" class={it.className}>
            {it.name}
          </div>
        ))}
      </div>
      <div class="rows" role="rowgroup" style={{ height: `${rows.length * rowHeight}px` }}>
        {shown.map((row, index) => {
          const key = keyOf(row);
          const isActive = key === active;
          return (
            <div
              key={key}
              id={`${id}-${key}`}
              class={`row ${isActive ? "active" : ""} ${props.rowClass?.(row) ?? ""}`}
              role="row"
              aria-rowindex={first + index + 2}
              aria-selected={props.isSelected ? props.isSelected(row) : undefined}
              style={{ top: `${(first + index) * rowHeight}px`, height: `${rowHeight}px` }}
              onMouseDown={() => setActive(key)}
            >
              {cells(row, isActive)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** A cell of a row. */
export function Cell({ children, className, title }: { children?: ComponentChildren; className?: string; title?: string }) {
  return (
    <div role="gridcell" class={className} title={title}>
      {children}
    </div>
  );
}
