// Package proxy is the node proxy of the mesh: the data plane for services that do not speak to the mesh themselves.
// It carries connections (mTLS or plain) and HTTP/1.1 requests between services, and knows what money needs: it sends
// a request again only where that can't pay twice, sheds what matters least, and keeps shadow traffic away from real
// state.
//
// It never decides policy (a [Config] comes from a control plane or a person), never issues certificates (an
// [Identity] has them), never buffers a body beyond 16 KiB, and never guesses: a request that two parties could read
// differently is refused, and so is one whose caller or colour is in doubt.
//
// Start reading at [Proxy]; conn.go has a client's connection, exchange.go one request from its head to the end of its
// answer, attempt.go one try at an endpoint. internal/h1 is the codec, internal/shed the load shedding.
package proxy
