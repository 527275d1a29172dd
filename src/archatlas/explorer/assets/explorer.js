// What needs no question to the server: a slider and its number follow each other, and commands are copied.
const turns = {};
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  explorer: {
    limit: function (slider, limit, low, high) {
      const same = window.dash_clientside.no_update;
      const moved = window.dash_clientside.callback_context.triggered_id;
      if (!moved) {
        return [same, same];
      }
      if (moved.kind === "slider") {
        // While the thumb is dragged only its last place in a moment is asked about.
        const turn = (turns[moved.cost] = (turns[moved.cost] || 0) + 1);
        return new Promise((resolve) =>
          setTimeout(() => resolve([same, turns[moved.cost] === turn ? Number(slider) : same]), 40)
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
