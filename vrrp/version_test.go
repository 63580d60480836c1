package vrrp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTimersV2 compares with RFC 3768, section 6.1, in seconds.
func TestTimersV2(t *testing.T) {
	for _, tt := range []struct {
		interval   time.Duration
		priority   uint8
		skew, down time.Duration
	}{
		{time.Second, 100, 609375 * time.Microsecond, 3609375 * time.Microsecond},
		{time.Second, 254, 7812500, 3007812500},
		{time.Second, 255, 3906250, 3003906250},
		{10 * time.Second, 100, 609375 * time.Microsecond, 30609375 * time.Microsecond},
		{255 * time.Second, 1, 996093750, 765996093750},
	} {
		if got := V2.skewTime(tt.priority, tt.interval); got != tt.skew {
			t.Errorf("skew of %d every %v: %v, want %v", tt.priority, tt.interval, got, tt.skew)
		}
		if got := V2.activeDownInterval(tt.priority, tt.interval); got != tt.down {
			t.Errorf("down of %d every %v: %v, want %v", tt.priority, tt.interval, got, tt.down)
		}
	}
}

// formatV2 is a format of version 2, after edit.
func formatV2(edit func(*Format)) Format {
	f := Format{Version: V2, Interval: time.Second}
	if edit != nil {
		edit(&f)
	}
	return f
}

func password(text string) func(*Format) {
	return func(f *Format) { f.Password = NewPassword(text) }
}

// TestPasswordWire: what RFC 2338, section 5.3.10, makes of a password, with the
// data in the checksum.
func TestPasswordWire(t *testing.T) {
	a := Advert{Version: V2, VRID: 51, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	for text, want := range map[string]string{
		"secret":        "21336401 0101 7b19 c0000264 7365637265740000",
		"secret12":      "21336401 0101 49e7 c0000264 7365637265743132",
		"secret12 more": "21336401 0101 49e7 c0000264 7365637265743132",
	} {
		got, err := NewCodec(formatV2(password(text))).Append(nil, epoch, a, src1, group)
		if err != nil || !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%q: %x, want %s, %v", text, got, want, err)
		}
	}
}

// TestAcceptV2 has every combination that a router of one kind may hear of
// another.
func TestAcceptV2(t *testing.T) {
	v3, v2 := Format{}, formatV2(nil)
	slow := formatV2(func(f *Format) { f.Interval = 2 * time.Second })
	abc, abd := formatV2(password("abc")), formatV2(password("abd"))
	hmac := authFormat(t, nil)
	hmac2 := formatV2(func(f *Format) { f.Auth = hmac.Auth })
	for _, tt := range []struct {
		name     string
		from, to Format
		want     DropReason // 0: accepted
	}{
		{"3 to 3", v3, v3, 0},
		{"2 to 2", v2, v2, 0},
		{"2 to 3", v2, v3, DropVersionMismatch},
		{"3 to 2", v3, v2, DropVersionMismatch},
		{"another interval", slow, v2, DropIntervalMismatch},
		{"password", abc, abc, 0},
		{"another password", abc, abd, DropBadPassword},
		{"password to none", abc, v2, DropAuthType},
		{"none to password", v2, abc, DropAuthType},
		{"password and interval", formatV2(func(f *Format) { *f = slow; f.Password = abd.Password }), abc, DropBadPassword},
		{"signed", hmac2, hmac2, 0},
		{"not signed", v2, hmac2, DropAuthMissing},
		{"signed to who does not ask", hmac2, v2, 0},
		{"signed, another interval", formatV2(func(f *Format) { *f = hmac2; f.Interval = 2 * time.Second }), hmac2, DropIntervalMismatch},
		{"signed, another version", hmac, hmac2, DropVersionMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := Advert{Version: tt.from.Version, VRID: 51, Priority: 100, Interval: max(tt.from.Interval, time.Second), Addresses: addrs("192.0.2.100")}
			b, err := NewCodec(tt.from).Append(nil, epoch, a, src1, group)
			if err != nil {
				t.Fatal(err)
			}
			err = accept(NewCodec(tt.to), epoch, b, src1)
			if reason, _ := errors.AsType[DropReason](err); reason != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestFormatErrors(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		f          Format
	}{
		{"no interval", "without an interval", Format{Version: V2}},
		{"password in version 3", "password in version 3", Format{Password: NewPassword("abc")}},
		{"password and authentication", "password beside authentication", formatV2(func(f *Format) {
			f.Auth, f.Password = authFormat(t, nil).Auth, NewPassword("abc")
		})},
	} {
		if err := tt.f.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestPasswordStaysSecret(t *testing.T) {
	f := formatV2(password("hunter22"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{f.Password, &f.Password, f, &f, NewCodec(f)} {
			got := fmt.Sprintf(verb, v)
			for _, leak := range []string{"hunter", fmt.Sprintf("%x", "hunter"), "104 117 110"} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T shows the password: %s", verb, v, got)
				}
			}
		}
	}
}
