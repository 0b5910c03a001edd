package template

import "time"

func (r *resolver) eventDestination(d declared, props value) EventDestination {
	c := r.object(props, d.id)
	out := EventDestination{LogicalID: d.id, Line: d.line, ConfigurationSet: c.must("ConfigurationSetName")}
	to := c.child("EventDestination")
	out.Types = to.texts("MatchingEventTypes")
	if !to.boolean("Enabled") {
		r.fail(d.line, "add `Enabled: true`", "event destination %s is switched off", d.id)
	}
	bus := to.child("EventBridgeDestination")
	if want := "arn:aws:events:" + r.params[Region] + ":" + r.params[AccountID] + ":event-bus/default"; bus.must("EventBusArn") != want {
		r.fail(d.line, "name the account's default event bus: SES knows no other", "event destination %s leads elsewhere than to %s", d.id, want)
	}
	bus.done()
	to.ignore("Name")
	to.done()
	c.done()
	return out
}

func (r *resolver) eventRule(d declared, props value) EventRule {
	c := r.object(props, d.id)
	rule := EventRule{LogicalID: d.id, Line: d.line, Name: r.name(d.line, d)}
	rule.ARN, _ = r.attribute(d.line, d, "Arn")
	pattern, ok := c.optional("EventPattern")
	if !ok || pattern.kind != object {
		r.fail(d.line, "add its EventPattern", "rule %s has no pattern", d.id)
	}
	rule.Pattern = pattern.plainObject()
	if state := c.text("State"); state != "ENABLED" {
		r.fail(d.line, "add `State: ENABLED`", "rule %s is in the state %q", d.id, state)
	}
	for _, t := range c.children("Targets") {
		target := EventTarget{ID: t.must("Id"), QueueARN: t.must("Arn")}
		transformer := t.child("InputTransformer")
		target.Template = transformer.text("InputTemplate")
		paths := transformer.child("InputPathsMap")
		target.Paths = map[string]string{}
		for _, name := range paths.v.keys {
			target.Paths[name] = paths.text(name)
		}
		transformer.done()
		retry := t.child("RetryPolicy")
		target.MaximumRetries = retry.between("MaximumRetryAttempts", 185, 0, 185)
		target.MaximumEventAge = time.Duration(retry.between("MaximumEventAgeInSeconds", 86400, 60, 86400)) * time.Second
		retry.done()
		t.done()
		rule.Targets = append(rule.Targets, target)
	}
	if len(rule.Targets) == 0 {
		r.fail(d.line, "add its Targets", "rule %s has no targets", d.id)
	}
	c.ignore("Name", "Description")
	c.done()
	return rule
}
