/** The product's mark. */
export function Mark({ size }: { size: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" className="mark-ground" />
      <path
        d="M21.5 11.2c-.9-2-2.9-3.2-5.4-3.2-3.3 0-5.6 1.7-5.6 4.3 0 5.8 11.3 2.7 11.3 7.7 0 2.5-2.4 4-5.8 4-2.9 0-5.1-1.2-6-3.4"
        fill="none"
        stroke="#fff"
        strokeWidth="2.8"
        strokeLinecap="round"
      />
    </svg>
  );
}
