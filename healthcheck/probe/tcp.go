package probe

import (
	"context"

	"tandem/healthcheck"
)

// checkTCP passes when the server completes the handshake.
func checkTCP(ctx context.Context, t healthcheck.Target) healthcheck.Result {
	c, err := dial(ctx, t.Address)
	if err != nil {
		return failed(ctx, "connecting", err)
	}
	c.Close()
	return healthcheck.Result{Reason: healthcheck.ReasonOK, Detail: "connected"}
}
