// Package shed decides which requests a service takes when it can't take all: a limit of requests in flight that
// follows the service's own response times, and in front of it a short queue by priority.
//
//   - The limit is a gradient limiter: it grows while answers take as long as they do without load, and shrinks as
//     they take longer, for as long as that makes them faster: it can't where answers are late because this process, or
//     the network, is. Requests below it pass without a lock.
//   - When requests wait longer than 20 ms on average, the least important ones are refused at once, as DAGOR does
//     (Zhou et al., Overload Control for Scaling WeChat Microservices, 2018): before they have cost anything.
//
// It never looks at a request's content and knows no clock: times are arguments. Start reading at [Limiter.Acquire].
package shed
