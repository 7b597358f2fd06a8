export const onRequest = () => { setTimeout(() => {}, 1); }; // error
