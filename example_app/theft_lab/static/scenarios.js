// What is played. A step is [who, action, what is said of it]; ["clock", seconds] lets time pass for the server.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

export const scenarios = [
  {
    id: "lost-answer",
    title: "Lost answer",
    story: "The server refreshes, its answer never arrives, and the owner comes again three days later.",
    lesson: "A browser that got no answer can only send the old token again. A timer would call it a thief; here nothing is over before a child is used.",
    steps: [
      ["owner", "login"],
      ["clock", HOUR],
      ["owner", "lose", "calls the API; the answer to the refresh will be lost"],
      ["clock", 3 * DAY],
      ["owner", "call", "calls the API again"],
      ["clock", MINUTE],
      ["owner", "call", "calls the API a minute later"],
    ],
  },
  {
    id: "two-tabs",
    title: "Two tabs",
    story: "Two tabs of one browser send the same refresh token at the same moment.",
    lesson: "Both get a child, the cookie jar keeps one. After the window one more refresh sorts it out; the user sees nothing.",
    steps: [
      ["owner", "login"],
      ["clock", HOUR],
      ["owner", "together"],
      ["owner", "call"],
      ["clock", MINUTE],
      ["owner", "call", "calls the API a minute later"],
    ],
  },
  {
    id: "frozen-tab",
    title: "Frozen tab",
    story: "A tab’s refresh is stuck on its way for twenty seconds, while the other tab goes on.",
    lesson: "The late request overwrites the cookies with a sibling of the token in use. Within the window that is forgiven, and the next refresh mends it.",
    steps: [
      ["owner", "login"],
      ["clock", HOUR],
      ["owner", "freeze"],
      ["owner", "call", "calls the API in the other tab"],
      ["clock", 20],
      ["owner", "thaw"],
      ["clock", MINUTE],
      ["owner", "call", "calls the API a minute later"],
    ],
  },
  {
    id: "thief-first",
    title: "Thief first",
    story: "The thief copies the cookies and refreshes before the owner does.",
    lesson: "The owner’s refresh sounds the alarm. The server can’t know which of the two is the owner, so nobody keeps the session; the owner logs in again.",
    steps: [
      ["owner", "login"],
      ["steal"],
      ["clock", HOUR],
      ["thief", "call"],
      ["clock", 5 * MINUTE],
      ["owner", "call"],
      ["thief", "call", "calls the API once more"],
    ],
  },
  {
    id: "thief-later",
    title: "Thief later",
    story: "The owner has refreshed; the thief comes with the old token half an hour later.",
    lesson: "A grace period that gives out tokens again would serve this thief. Here the old token is an alarm as soon as the window is over.",
    steps: [
      ["owner", "login"],
      ["steal"],
      ["clock", HOUR],
      ["owner", "call"],
      ["clock", 30 * MINUTE],
      ["thief", "call"],
      ["owner", "call", "calls the API once more"],
    ],
  },
  {
    id: "stolen-database",
    title: "Stolen database",
    story: "The thief has a copy of the database, and no cookie.",
    lesson: "The row holds a hash of a hash of the current token. That is no token, and nothing else in the database makes one without SECRET_KEY.",
    steps: [
      ["owner", "login"],
      ["thief", "tryHash"],
      ["thief", "forge"],
      ["clock", HOUR],
      ["owner", "call"],
    ],
  },
];
