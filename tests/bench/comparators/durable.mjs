import { DurableStreamTestServer } from "@durable-streams/server"

// Compression is off, because no reader asks for it. Everything else is the default.
const server = new DurableStreamTestServer({ host: "127.0.0.1", port: Number(process.argv[2]), compression: false })
await server.start()
