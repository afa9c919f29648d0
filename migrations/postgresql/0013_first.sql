-- The tables of a database of PostgreSQL as of revision 0013: those that SQLite has after its migrations 0001 to 0013.
-- An index of SQLite has the row ids of each value in order, by which pages go; here it needs the column id for that.
CREATE TABLE audit_entries (
    id BIGSERIAL NOT NULL,
    at TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" DEFAULT '' NOT NULL,
    detail TEXT COLLATE "C" DEFAULT '{}' NOT NULL,
    request_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    previous TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_audit_entries_action ON audit_entries (action);
CREATE INDEX idx_audit_entries_actor ON audit_entries (actor);
CREATE INDEX idx_audit_entries_subject ON audit_entries (subject);
CREATE TABLE balance_readings (
    id BIGSERIAL NOT NULL,
    read_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    credits DOUBLE PRECISION NOT NULL,
    before_attempt BIGINT NOT NULL,
    after_order BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_balance_readings_before ON balance_readings (before_attempt);
CREATE TABLE import_history (
    id BIGSERIAL NOT NULL,
    filename TEXT COLLATE "C" NOT NULL,
    imported_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    rows_read BIGINT NOT NULL,
    rows_new BIGINT NOT NULL,
    rows_updated BIGINT NOT NULL,
    rows_unchanged BIGINT NOT NULL,
    rows_failed BIGINT NOT NULL,
    undone_at TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id)
);
CREATE TABLE leases (
    id BIGSERIAL NOT NULL,
    number BIGINT NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    place TEXT COLLATE "C" NOT NULL,
    taken_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE list_proofs (
    service_id TEXT COLLATE "C" NOT NULL,
    longest BIGINT NOT NULL,
    proven_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (service_id)
);
CREATE TABLE login_failures (
    subject TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    last_at DOUBLE PRECISION NOT NULL,
    until_at DOUBLE PRECISION NOT NULL,
    known BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (subject)
);
CREATE TABLE order_totals (
    batch_id BIGINT NOT NULL,
    day TEXT COLLATE "C" NOT NULL,
    service_name TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    orders BIGINT NOT NULL,
    millionths BIGINT NOT NULL,
    PRIMARY KEY (batch_id, day, service_name, status, verdict)
);
CREATE INDEX idx_order_totals_day ON order_totals (day);
CREATE TABLE provider_requests (
    id BIGSERIAL NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    argument TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    asked_at DOUBLE PRECISION NOT NULL,
    answered_at DOUBLE PRECISION,
    error TEXT COLLATE "C" DEFAULT '' NOT NULL,
    failure TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT state_is_known CHECK (state = 'waiting' OR state = 'asking' OR state = 'answered' OR state = 'failed')
);
CREATE INDEX idx_provider_requests_finished ON provider_requests (kind) WHERE state IN ('answered', 'failed');
CREATE UNIQUE INDEX idx_provider_requests_open ON provider_requests (kind, argument) WHERE state IN ('waiting', 'asking');
CREATE TABLE rule_versions (
    id BIGSERIAL NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
    rules TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE saved_searches (
    id BIGSERIAL NOT NULL,
    imeis TEXT COLLATE "C" NOT NULL,
    rejected BIGINT NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_saved_searches_created ON saved_searches (created_at);
CREATE TABLE services (
    service_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    price DOUBLE PRECISION NOT NULL,
    previous_price DOUBLE PRECISION,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    delivery TEXT COLLATE "C" DEFAULT '' NOT NULL,
    must_read TEXT COLLATE "C" DEFAULT '' NOT NULL,
    required_fields TEXT COLLATE "C" DEFAULT '[]' NOT NULL,
    listed BOOLEAN DEFAULT true NOT NULL,
    refreshed_at DOUBLE PRECISION NOT NULL,
    favourite BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (service_id)
);
CREATE TABLE settings (
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key)
);
CREATE TABLE totals_mark (
    upto BIGINT NOT NULL
);
CREATE TABLE uploads (
    token TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    service_id TEXT COLLATE "C" NOT NULL,
    choice TEXT COLLATE "C" DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
    customer TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (token)
);
CREATE TABLE users (
    id BIGSERIAL NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    daily_limit DOUBLE PRECISION,
    totp_secret TEXT COLLATE "C",
    totp_step BIGINT,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    password_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    disabled_at TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT role_is_known CHECK (role = 'viewer' OR role = 'operator' OR role = 'admin'),
    UNIQUE (name)
);
CREATE TABLE webhooks (
    id BIGSERIAL NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" DEFAULT '' NOT NULL,
    events TEXT COLLATE "C" NOT NULL,
    secret TEXT COLLATE "C" NOT NULL,
    old_secret TEXT COLLATE "C",
    old_secret_until TIMESTAMP WITHOUT TIME ZONE,
    delivered_at TIMESTAMP WITHOUT TIME ZONE,
    failing_since TIMESTAMP WITHOUT TIME ZONE,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    disabled_at TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id)
);
CREATE TABLE withheld_results (
    order_id TEXT COLLATE "C" NOT NULL,
    since TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    asked_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    times BIGINT NOT NULL,
    answer TEXT COLLATE "C" NOT NULL,
    spoils_lists BOOLEAN NOT NULL,
    PRIMARY KEY (order_id)
);
CREATE TABLE api_tokens (
    id BIGSERIAL NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    token_hash TEXT COLLATE "C" NOT NULL,
    hint TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    user_id BIGINT,
    daily_limit DOUBLE PRECISION,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITHOUT TIME ZONE,
    used_at TIMESTAMP WITHOUT TIME ZONE,
    used_from TEXT COLLATE "C" DEFAULT '' NOT NULL,
    revoked_at TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT role_is_known CHECK (role = 'viewer' OR role = 'operator' OR role = 'admin'),
    UNIQUE (token_hash),
    FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE TABLE import_changes (
    id BIGSERIAL NOT NULL,
    import_id BIGINT NOT NULL,
    order_row BIGINT NOT NULL,
    before TEXT COLLATE "C",
    after TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(import_id) REFERENCES import_history (id)
);
CREATE INDEX idx_import_changes_import ON import_changes (import_id);
CREATE INDEX idx_import_changes_order ON import_changes (order_row);
CREATE TABLE listed_orders (
    request_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    imei TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    requested_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (request_id, position),
    FOREIGN KEY(request_id) REFERENCES provider_requests (id) ON DELETE CASCADE
);
CREATE TABLE recovery_codes (
    id BIGSERIAL NOT NULL,
    user_id BIGINT NOT NULL,
    code_hash TEXT COLLATE "C" NOT NULL,
    used_at TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX idx_recovery_codes_user ON recovery_codes (user_id);
CREATE TABLE sessions (
    id BIGSERIAL NOT NULL,
    id_hash TEXT COLLATE "C" NOT NULL,
    user_id BIGINT NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    proved_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    browser TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ended_at TIMESTAMP WITHOUT TIME ZONE,
    end_reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (id_hash),
    FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX idx_sessions_user ON sessions (user_id);
CREATE TABLE batches (
    id BIGSERIAL NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    service_id TEXT COLLATE "C" NOT NULL,
    service_name TEXT COLLATE "C" NOT NULL,
    unit_price DOUBLE PRECISION NOT NULL,
    total BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    notice TEXT COLLATE "C" DEFAULT '' NOT NULL,
    resumes_itself BOOLEAN DEFAULT false NOT NULL,
    confirm_token TEXT COLLATE "C",
    fingerprint TEXT COLLATE "C" DEFAULT '' NOT NULL,
    revision BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
    started_at TIMESTAMP WITHOUT TIME ZONE,
    finished_at TIMESTAMP WITHOUT TIME ZONE,
    tally TEXT COLLATE "C",
    tally_revision BIGINT,
    is_judged BOOLEAN DEFAULT false NOT NULL,
    customer TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ordered_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    user_id BIGINT,
    token_id BIGINT,
    announced TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT state_is_known CHECK (state = 'running' OR state = 'paused' OR state = 'finished'),
    UNIQUE (confirm_token),
    FOREIGN KEY(user_id) REFERENCES users (id),
    FOREIGN KEY(token_id) REFERENCES api_tokens (id)
);
CREATE INDEX idx_batches_fingerprint ON batches (fingerprint);
CREATE INDEX idx_batches_listed ON batches (id) WHERE source != 'scan';
CREATE INDEX idx_batches_person ON batches (ordered_by, id);
CREATE INDEX idx_batches_state ON batches (state);
CREATE INDEX idx_batches_untallied ON batches (state) WHERE state = 'finished' AND tally_revision IS DISTINCT FROM revision;
CREATE TABLE chunks (
    id BIGSERIAL NOT NULL,
    batch_id BIGINT NOT NULL,
    size BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempt BIGINT DEFAULT 0 NOT NULL,
    message TEXT COLLATE "C" DEFAULT '' NOT NULL,
    doubt_attempt BIGINT,
    cleared BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT state_is_known CHECK (state = 'planned' OR state = 'sending' OR state = 'answered' OR state = 'in_doubt' OR state = 'cancelled'),
    FOREIGN KEY(batch_id) REFERENCES batches (id)
);
CREATE INDEX idx_chunks_batch ON chunks (batch_id, state);
CREATE INDEX idx_chunks_open ON chunks (state) WHERE state IN ('sending', 'in_doubt');
CREATE TABLE idempotency_keys (
    caller TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    body_hash TEXT COLLATE "C" NOT NULL,
    batch_id BIGINT,
    answer TEXT COLLATE "C",
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (caller, key),
    FOREIGN KEY(batch_id) REFERENCES batches (id)
);
CREATE INDEX idx_idempotency_keys_created ON idempotency_keys (created_at);
CREATE TABLE orders (
    id BIGSERIAL NOT NULL,
    order_id TEXT COLLATE "C",
    service_name TEXT COLLATE "C",
    service_id TEXT COLLATE "C",
    imei TEXT COLLATE "C" NOT NULL,
    imei2 TEXT COLLATE "C",
    credits DOUBLE PRECISION,
    status TEXT COLLATE "C",
    order_date TIMESTAMP WITHOUT TIME ZONE,
    carrier TEXT COLLATE "C",
    simlock TEXT COLLATE "C",
    model TEXT COLLATE "C",
    fmi TEXT COLLATE "C",
    result_code TEXT COLLATE "C",
    result_code_display TEXT COLLATE "C",
    notes TEXT COLLATE "C",
    raw_response TEXT COLLATE "C",
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    blacklist TEXT COLLATE "C",
    serial TEXT COLLATE "C",
    warranty TEXT COLLATE "C",
    batch_id BIGINT,
    attempt_id BIGINT,
    other_imei TEXT COLLATE "C",
    existed BOOLEAN DEFAULT false NOT NULL,
    verdict TEXT COLLATE "C",
    verdict_rule BIGINT,
    rules_version BIGINT,
    PRIMARY KEY (id),
    UNIQUE (order_id),
    FOREIGN KEY(batch_id) REFERENCES batches (id),
    FOREIGN KEY(rules_version) REFERENCES rule_versions (id)
);
CREATE INDEX idx_imei ON orders (imei, id);
CREATE INDEX idx_order_date ON orders (order_date DESC, id);
CREATE INDEX idx_order_id ON orders (order_id);
CREATE INDEX idx_orders_batch ON orders (batch_id, id);
CREATE INDEX idx_orders_blacklist ON orders (blacklist, id) WHERE blacklist IS NOT NULL;
CREATE INDEX idx_orders_carrier ON orders (carrier, id) WHERE carrier IS NOT NULL;
CREATE INDEX idx_orders_fmi ON orders (fmi, id) WHERE fmi IS NOT NULL;
CREATE INDEX idx_orders_imei2 ON orders (imei2, id) WHERE imei2 IS NOT NULL;
CREATE INDEX idx_orders_model ON orders (model, id) WHERE model IS NOT NULL;
CREATE INDEX idx_orders_other_imei ON orders (other_imei, id) WHERE other_imei IS NOT NULL;
CREATE INDEX idx_orders_pending ON orders (order_date) WHERE status NOT IN ('Completed', 'Rejected');
CREATE INDEX idx_orders_rejected ON orders (id, order_date, imei, service_id, batch_id, carrier, simlock, fmi, order_id, blacklist, model, serial, verdict) WHERE coalesce(status, '') = 'Rejected';
CREATE INDEX idx_orders_serial ON orders (serial, id) WHERE serial IS NOT NULL;
CREATE INDEX idx_orders_service ON orders (service_id, id);
CREATE INDEX idx_orders_simlock ON orders (simlock, id) WHERE simlock IS NOT NULL;
CREATE INDEX idx_orders_ungraded ON orders (verdict) WHERE verdict IS NULL AND status IN ('Completed', 'Rejected');
CREATE INDEX idx_orders_verdict ON orders (verdict, id) WHERE verdict IS NOT NULL;
CREATE INDEX idx_orders_verdict_blacklist ON orders (verdict, blacklist, id) WHERE verdict IS NOT NULL AND blacklist IS NOT NULL;
CREATE INDEX idx_orders_verdict_fmi ON orders (verdict, fmi, id) WHERE verdict IS NOT NULL AND fmi IS NOT NULL;
CREATE INDEX idx_orders_verdict_simlock ON orders (verdict, simlock, id) WHERE verdict IS NOT NULL AND simlock IS NOT NULL;
CREATE INDEX idx_status ON orders (status, id);
CREATE TABLE outbox_events (
    id BIGSERIAL NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    batch_id BIGINT,
    data TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    is_planned BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(batch_id) REFERENCES batches (id)
);
CREATE INDEX idx_outbox_events_new ON outbox_events (id) WHERE NOT is_planned;
CREATE TABLE scans (
    id BIGSERIAL NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    imei TEXT COLLATE "C" NOT NULL,
    service_id TEXT COLLATE "C" NOT NULL,
    scanned_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    batch_id BIGINT,
    order_row BIGINT,
    is_new BOOLEAN NOT NULL,
    scanned_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(batch_id) REFERENCES batches (id)
);
CREATE INDEX idx_scans_person ON scans (scanned_by);
CREATE INDEX idx_scans_session ON scans (session);
CREATE TABLE attempts (
    id BIGSERIAL NOT NULL,
    chunk_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    imeis BIGINT NOT NULL,
    ended_before BIGINT DEFAULT 0 NOT NULL,
    after_order BIGINT DEFAULT 0 NOT NULL,
    first_list TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sent_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITHOUT TIME ZONE,
    result TEXT COLLATE "C",
    message TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(chunk_id) REFERENCES chunks (id)
);
CREATE INDEX idx_attempts_chunk ON attempts (chunk_id);
CREATE TABLE deliveries (
    id BIGSERIAL NOT NULL,
    event_id BIGINT NOT NULL,
    webhook_id BIGINT,
    target TEXT COLLATE "C" DEFAULT '' NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT DEFAULT 0 NOT NULL,
    next_at TIMESTAMP WITHOUT TIME ZONE,
    status BIGINT,
    answer TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ended_at TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT state_is_known CHECK (state = 'waiting' OR state = 'delivered' OR state = 'failed'),
    FOREIGN KEY(event_id) REFERENCES outbox_events (id),
    FOREIGN KEY(webhook_id) REFERENCES webhooks (id)
);
CREATE INDEX idx_deliveries_event ON deliveries (event_id);
CREATE INDEX idx_deliveries_webhook ON deliveries (webhook_id, state, next_at);
CREATE TABLE items (
    id BIGSERIAL NOT NULL,
    batch_id BIGINT NOT NULL,
    chunk_id BIGINT,
    service_id TEXT COLLATE "C" NOT NULL,
    imei TEXT COLLATE "C" NOT NULL,
    source_row BIGINT,
    outcome TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C",
    PRIMARY KEY (id),
    CONSTRAINT outcome_is_known CHECK (outcome = 'waiting' OR outcome = 'ordered' OR outcome = 'duplicate' OR outcome = 'refused' OR outcome = 'in_doubt' OR outcome = 'cancelled'),
    FOREIGN KEY(batch_id) REFERENCES batches (id),
    FOREIGN KEY(chunk_id) REFERENCES chunks (id)
);
CREATE INDEX idx_items_batch ON items (batch_id, outcome);
CREATE INDEX idx_items_chunk ON items (chunk_id);
CREATE INDEX idx_items_message ON items (batch_id, outcome, message) WHERE message IS NOT NULL;
CREATE UNIQUE INDEX idx_items_one_in_flight ON items (service_id, imei) WHERE outcome IN ('waiting', 'in_doubt');
CREATE TABLE status_changes (
    id BIGSERIAL NOT NULL,
    order_row BIGINT NOT NULL,
    "old" TEXT COLLATE "C",
    "new" TEXT COLLATE "C" NOT NULL,
    changed_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(order_row) REFERENCES orders (id)
);
CREATE INDEX idx_status_changes_order ON status_changes (order_row);
INSERT INTO totals_mark (upto) VALUES (0);
INSERT INTO rule_versions (rules) VALUES (
    '[["review", "rejected", "", ""], ["review", "another", "", ""], ["fail", "blacklisted", "", ""], '
    '["fail", "fmi_on", "", ""], ["review", "locked", "", ""], ["review", "blacklist_unknown", "", ""], '
    '["review", "fmi_unknown", "", ""], ["review", "simlock_unknown", "", ""]]');

-- A change of an order below the mark of the totals is carried over, and clears the tally of its batch.
CREATE FUNCTION uncount_order(old orders) RETURNS void LANGUAGE sql AS $$
    UPDATE order_totals SET orders = orders - 1,
        millionths = millionths - CAST(round(coalesce(old.credits, 0) * 1000000) AS BIGINT)
    WHERE (batch_id, day, service_name, status, verdict) = (
        coalesce(old.batch_id, 0), coalesce(to_char(old.order_date, 'YYYY-MM-DD'), ''),
        coalesce(old.service_name, ''), coalesce(old.status, ''), coalesce(old.verdict, ''))
$$;
CREATE FUNCTION count_order(new orders) RETURNS void LANGUAGE sql AS $$
    INSERT INTO order_totals AS kept (batch_id, day, service_name, status, verdict, orders, millionths)
    VALUES (coalesce(new.batch_id, 0), coalesce(to_char(new.order_date, 'YYYY-MM-DD'), ''),
        coalesce(new.service_name, ''), coalesce(new.status, ''), coalesce(new.verdict, ''), 1,
        CAST(round(coalesce(new.credits, 0) * 1000000) AS BIGINT))
    ON CONFLICT (batch_id, day, service_name, status, verdict)
    DO UPDATE SET orders = kept.orders + 1, millionths = kept.millionths + excluded.millionths
$$;
CREATE FUNCTION orders_untallied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE batches SET tally_revision = NULL
    WHERE id IN (old.batch_id, new.batch_id) AND tally_revision IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER orders_untallied AFTER UPDATE OF batch_id, status, carrier, simlock, fmi, blacklist ON orders
    FOR EACH ROW WHEN (
        (old.batch_id, old.status, old.carrier, old.simlock, old.fmi, old.blacklist)
        IS DISTINCT FROM (new.batch_id, new.status, new.carrier, new.simlock, new.fmi, new.blacklist))
    EXECUTE FUNCTION orders_untallied();
CREATE FUNCTION orders_recounted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF old.id <= (SELECT upto FROM totals_mark) THEN
        PERFORM uncount_order(old);
        PERFORM count_order(new);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER orders_recounted AFTER UPDATE OF status, credits, order_date, service_name, batch_id, verdict ON orders
    FOR EACH ROW WHEN (
        (old.status, old.credits, old.order_date, old.service_name, old.batch_id, old.verdict)
        IS DISTINCT FROM (new.status, new.credits, new.order_date, new.service_name, new.batch_id, new.verdict))
    EXECUTE FUNCTION orders_recounted();
CREATE FUNCTION orders_uncounted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF old.id <= (SELECT upto FROM totals_mark) THEN
        PERFORM uncount_order(old);
        UPDATE totals_mark SET upto = least(upto, (SELECT coalesce(max(id), 0) FROM orders));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER orders_uncounted AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION orders_uncounted();

-- The audit log only grows, and each entry continues the last one. The counter keeps the highest number ever given.
CREATE TABLE audit_counter (
    given BIGINT NOT NULL
);
INSERT INTO audit_counter (given) VALUES (0);
CREATE FUNCTION audit_entries_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_only_grow();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_only_grow();
CREATE FUNCTION audit_entries_at_the_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.id <= (SELECT coalesce(max(id), 0) FROM audit_entries)
        OR new.previous IS DISTINCT FROM coalesce(
            (SELECT digest FROM audit_entries ORDER BY id DESC LIMIT 1), lpad('', 64, '0')) THEN
        RAISE EXCEPTION 'an entry of the audit log continues the last one'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    UPDATE audit_counter SET given = greatest(given, new.id);
    RETURN new;
END $$;
CREATE TRIGGER audit_entries_at_the_end BEFORE INSERT ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_at_the_end();
