package load

import (
	"testing"
	"time"
)

func TestMode(t *testing.T) {
	tests := []struct {
		text string
		want Mode
	}{
		{"ok", Mode{Behaviour: Healthy}},
		{"503", Mode{Behaviour: Failing503}},
		{"hang", Mode{Behaviour: Hanging}},
		{"refuse", Mode{Behaviour: Refusing}},
		{"slow=200ms", Mode{Behaviour: Slow, Delay: 200 * time.Millisecond}},
		{"503,health-only", Mode{Behaviour: Failing503, HealthOnly: true}},
		{"slow=1s,health-only", Mode{Behaviour: Slow, Delay: time.Second, HealthOnly: true}},
	}
	for _, tt := range tests {
		got, err := ParseMode(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseMode(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
		if got.String() != tt.text {
			t.Errorf("%+v is %q, want %q", got, got.String(), tt.text)
		}
	}
	if got := (Mode{}).String(); got != "ok" {
		t.Errorf("the zero mode is %q, want ok", got)
	}
}

func TestParseModeErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", `mode "": want ok, 503, hang, refuse or slow=DURATION`},
		{"404", `mode "404": want ok, 503, hang, refuse or slow=DURATION`},
		{"slow", `mode "slow": a delay belongs to slow and to nothing else, as in slow=200ms`},
		{"hang=1s", `mode "hang=1s": a delay belongs to slow and to nothing else, as in slow=200ms`},
		{"slow=soon", `mode "slow=soon": time: invalid duration "soon"`},
		{"slow=0s", `mode "slow=0s": want a delay of more than 0`},
		{"refuse,health-only", `mode "refuse,health-only": a closed listener refuses everybody; drop ,health-only`},
	}
	for _, tt := range tests {
		m, err := ParseMode(tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParseMode(%q) = %v, %v; want error %q", tt.text, m, err, tt.want)
		}
	}
}
