export function BreaksPage() { return null; }
