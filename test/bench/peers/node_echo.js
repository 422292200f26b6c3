// A TCP echo server on Node's net module: node_echo.js PORT
'use strict';
require('net').createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
}).listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 511 });
