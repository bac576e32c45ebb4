/** What people are told about a session: which device, and when. */

const BROWSER = /Firefox|Edg(?=\/)|Chrome(?!.*Edg\/)|Safari(?!.*Edg\/)/;
const SYSTEM = /Android|iPhone|iPad|Windows|Mac OS|Linux(?!.*Android)/;

/** "Firefox on Linux"; what says neither is shown as it is. */
export function describeDevice(userAgent: string | null): string {
  const names = [
    userAgent?.match(BROWSER)?.[0].replace("Edg", "Edge"),
    userAgent?.match(SYSTEM)?.[0],
  ];
  return names.filter(Boolean).join(" on ") || userAgent || "Unknown device";
}

/** A moment in the reader's language and time zone. */
export function formatMoment(moment: string): string {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  return format.format(new Date(moment));
}
