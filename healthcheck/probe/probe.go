// Package probe makes the health checks: it connects, asks and names what came
// of it.
//
// Every check is a function of a context and a target. The context's end is
// hard: whatever a server does, or fails to do, the check returns then. What a
// server sends is not trusted; it is read up to a bound and never repeated in
// a result's words.
package probe

import (
	"context"
	"fmt"
	"time"

	"tandem/healthcheck"
)

// check makes one check. It need not set the result's latency.
type check func(context.Context, healthcheck.Target) healthcheck.Result

// checks holds a check for each kind.
var checks = map[healthcheck.Kind]check{
	healthcheck.TCP:  checkTCP,
	healthcheck.HTTP: checkHTTP,
}

// Probe checks the target once. It returns by the end of ctx, which is to come
// after Target.Timeout; the other times and numbers of the target are not its
// business. When ctx is cancelled instead, the reason is ReasonLocal.
func Probe(ctx context.Context, t healthcheck.Target) healthcheck.Result {
	c, ok := checks[t.Kind]
	if !ok {
		c = checkUnknown
	}
	start := time.Now()
	r := c(ctx, t)
	r.Latency = time.Since(start)
	return r
}

// checkUnknown stands for a kind that there is no check of.
func checkUnknown(_ context.Context, t healthcheck.Target) healthcheck.Result {
	return healthcheck.Result{
		Reason: healthcheck.ReasonLocal,
		Detail: fmt.Sprintf("there is no check of kind %q", t.Kind),
	}
}
