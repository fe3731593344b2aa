// Package proxy is the node proxy of the mesh: the data plane for services that do not speak to the mesh themselves.
// It carries connections (mTLS or plain), requests by HTTP/1.1, HTTP/2 and gRPC, and calls by Bolt and Dubbo between services, and knows what money
// needs: it sends a request again only where that can't pay twice, sheds what matters least, and keeps shadow traffic away from real
// state.
//
// It never decides policy (a [Config] comes from a control plane or a person), never issues certificates (an
// [Identity] has them), never buffers a body beyond 16 KiB (of calls, 8 MiB), and never guesses: a request that two parties could read
// differently is refused, and so is one whose caller or colour is in doubt.
//
// Start reading at [Proxy]; exchange.go has one request from its head to the end of its answer, attempt.go one try at an
// endpoint. Both know the client and the endpoint by interfaces: conn.go and stream.go are clients by HTTP/1.1 and HTTP/2,
// upstream.go and links.go endpoints; rpc.go begins what Bolt and Dubbo have beside it. internal/h1, h2, bolt, dubbo and hessian are the codecs,
// internal/shed the load shedding.
package proxy
