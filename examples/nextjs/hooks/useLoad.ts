/** What a page shows: loaded when it opens, and again after a change. */

import { useCallback, useEffect, useState } from "react";

export function useLoad<T>(load: () => Promise<T>) {
  const [data, setData] = useState<T>();
  const [error, setError] = useState<string | null>(null);

  const reload = useCallback(async () => {
    setError(null);
    try {
      setData(await load());
    } catch (reason) {
      setError((reason as Error).message);
    }
  }, [load]);

  useEffect(() => void reload(), [reload]);
  return { data, error, reload };
}
