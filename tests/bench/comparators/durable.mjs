import { DurableStreamTestServer } from "@durable-streams/server"

// Compression is off, for nobody here asks for it; everything else is as it comes.
const server = new DurableStreamTestServer({ host: "127.0.0.1", port: Number(process.argv[2]), compression: false })
await server.start()
