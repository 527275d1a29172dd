// What needs no question to the server: a slider and its number follow each other, and commands are copied.
const moves = {}; // when each slider was moved last
const DRAG_MS = 100; // moves closer than this are one drag
const REST_MS = 40;
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  explorer: {
    limit: function (slider, limit, low, high) {
      const same = window.dash_clientside.no_update;
      const moved = window.dash_clientside.callback_context.triggered_id;
      if (!moved) {
        return [same, same];
      }
      if (moved.kind === "slider") {
        // A single move is asked about at once; of a drag, each place where the thumb rests for a moment.
        const now = performance.now();
        const resting = now - (moves[moved.cost] || -DRAG_MS) >= DRAG_MS;
        moves[moved.cost] = now;
        if (resting) {
          return [same, Number(slider)];
        }
        return new Promise((resolve) =>
          setTimeout(() => resolve([same, moves[moved.cost] === now ? Number(slider) : same]), REST_MS)
        );
      }
      const number = limit === null || limit === undefined ? Number(high) : Number(limit);
      return [Math.min(Number(high), Math.max(Number(low), number)), same];
    },
    copy: function (clicks, commands) {
      const pressed = window.dash_clientside.callback_context.triggered_id;
      if (!pressed || !clicks.some(Boolean)) {
        return window.dash_clientside.no_update;
      }
      const text = commands[pressed.number];
      if (!navigator.clipboard) {
        return "This browser does not let the page copy: select the command and copy it.";
      }
      return navigator.clipboard.writeText(text).then(
        () => "Copied: " + text,
        () => "The browser did not let the page copy: select the command and copy it."
      );
    },
  },
});
