export const onRequest = () => process.exit(1); // error
