-- How a training learned: [{"model", "step", figures}], the last figures of every model and epoch. Its folder goes when it is
-- done; the course of the loss stays.
ALTER TABLE jobs ADD COLUMN history JSON;
