/** Whether a method changes something at the other side. */
export const isWrite = (method: string): boolean => !["GET", "HEAD", "OPTIONS"].includes(method);
